"""What the moves of Dilu's own rule are decided on, after each second."""

from __future__ import annotations

from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.dilu.paper_shadow import PaperShadow
from dilu_autoscaler.policy.horizontal.dilu.periodicity import Rhythm
from dilu_autoscaler.policy.horizontal.dilu.prices import Credit, Prices
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec

LATELY_SAMPLES: Final = 3
"""Seconds whose mean decides on going out, and on whether fewer are enough."""
RECENT_SAMPLES: Final = 12
"""Seconds that decide on how many may go."""
FULL_RATIO: Final = 0.998
"""Of its throughput, what a replica is planned for."""
SPARE: Final = 0.014
"""Load below this fraction of a replica's throughput keeps no replica."""
TAIL_S: Final = 12
"""Minimum time that a replica stays after its burst."""
MAX_DEBT_S: Final = 58.0
"""Replica seconds that may be owed when one more starts than the shadow has."""
EVEN: Final = 0.5
"""Starts are whole, their credit is not: from here on one counts as there."""


class Situation(NamedTuple):
    """One second is over."""

    spec: CoscaleSpec
    credit: Credit
    prices: Prices
    """As they were before that second."""
    shadow: PaperShadow
    rhythm: Rhythm
    replicas: int
    uncounted: int
    """Of them, those that do not count as there."""
    full_rps: float
    recent_rps: tuple[float, ...]
    """Demand of the last seconds, oldest first."""
    above_samples: int
    cold_start_s: int
