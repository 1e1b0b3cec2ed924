"""The share of requests that was answered within the objective lately, and what a missed one is worth now."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

MEMORY_S: Final = 600.0
"""Seconds over which requests and misses fade: the ten minutes that an operator looks at."""
PRICE_SHARE: Final = 0.15
"""Price of a missed replica second while exactly as much is missed as may be, as a share of the highest price. Below
one, so that the price can still rise where that is not enough."""
PRICE_POWER: Final = 3.0
"""How steeply the price follows what is missed: half of what may be missed makes a miss eight times cheaper."""


class Attainment(NamedTuple):
    """Faded sums of the last minutes."""

    requests: float = 0.0
    missed: float = 0.0

    @property
    def ratio(self) -> float:
        """Share of the requests that was answered in time; 1 where there was none."""
        return max(0.0, 1.0 - self.missed / self.requests) if self.requests > 0 else 1.0


NOTHING_MISSED: Final = Attainment()


def attainment_after(before: Attainment, requests: float, missed: float) -> Attainment:
    """Return the attainment after one more second."""
    fade = 1.0 - 1.0 / MEMORY_S
    return Attainment(before.requests * fade + requests, before.missed * fade + missed)


def budget_used(attainment: Attainment, target_ratio: float) -> float:
    """Return what was missed over what may be missed; 1 where nothing is known.

    >>> round(budget_used(Attainment(1000.0, 10.0), 0.98), 3)
    0.5
    """
    if not attainment.requests > 0:
        return 1.0
    return attainment.missed / attainment.requests / (1.0 - target_ratio)


def price_of_a_miss(used: float, target_ratio: float) -> float:
    """Return how many kept replica seconds one missed replica second is worth.

    At most 1 / (1 - target): then a replica is kept that is needed for the share of time that may be missed.

    >>> [round(price_of_a_miss(used, 0.98), 2) for used in (0.0, 0.5, 1.0, 5.0)]
    [0.0, 0.94, 7.5, 50.0]
    """
    return min(1.0, PRICE_SHARE * math.pow(used, PRICE_POWER)) / (1.0 - target_ratio)
