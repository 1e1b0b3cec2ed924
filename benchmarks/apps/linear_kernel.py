"""The model of the batching and admission benchmarks: a batch of n takes FIXED_S + n x PER_ITEM_S, on no core."""

from __future__ import annotations

import time
from typing import Final

FIXED_S: Final = 0.005
PER_ITEM_S: Final = 0.0005
MAX_BATCH: Final = 16
SLO_S: Final = 0.060


def run(items: list[list[float]]) -> list[list[float]]:
    """Return the items, after the time that a batch of this size takes."""
    time.sleep(FIXED_S + PER_ITEM_S * len(items))
    return items
