"""Settings of peers that are the same in all benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from harness.machine import ROOT

BENCHMARKS_PATH: Final[Mapping[str, str]] = {"PYTHONPATH": str(ROOT / "benchmarks")}
# Two HTTP processes: with one, LitServe's default on this machine, it gave a third less.
LITSERVE: Final[Mapping[str, str]] = {**BENCHMARKS_PATH, "API_SERVERS": "2"}
