"""What is measured, and how much of it, in a full and in a quick run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from server_comparison.clients import PAYLOAD

# Path, connections and body of each load.
LOADS: Final = {
    "echo c=1": ("", 1, PAYLOAD),
    "echo c=16": ("", 16, PAYLOAD),
    "echo in a thread c=16": ("thread", 16, PAYLOAD),
    "flask c=16": ("hello", 16, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    loads: tuple[str, ...]
    repeats: int
    seconds: int
    waiting: tuple[int, ...]  # requests that wait for `predict` while probes are sent
    predict_s: float
    drains: int
    streams: int
    hold_s: float


FULL: Final = Sizes(
    loads=tuple(LOADS), repeats=5, seconds=3, waiting=(1, 64, 256), predict_s=2.0, drains=10, streams=2000, hold_s=10.0
)
QUICK: Final = Sizes(
    loads=tuple(LOADS)[:3], repeats=1, seconds=1, waiting=(64, 256), predict_s=0.4, drains=1, streams=300, hold_s=1.0
)
