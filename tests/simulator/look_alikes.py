"""Loads that look like those of published traces; generated, so that none has to be stored."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from dilu_simulator.trials.loads import CAPACITY_RPS, load_rps

__all__ = ["CAPACITY_RPS", "LOADS", "write_rates"]

LOADS = {name: partial(load_rps, name) for name in ("bursty", "periodic", "sporadic")}
"""By name: a seed, and how many seconds."""


def write_rates(path: Path, rates_rps: list[float]) -> Path:
    """A workload file: one rate a line."""
    path.write_text("".join(f"{rate!r}\n" for rate in rates_rps))
    return path
