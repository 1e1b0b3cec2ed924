"""What a start, a replica's second and a load that is not met are worth now: more of a price where less is left.

All three are counted against the paper's rule. Saved starts make starts cheap, owed replica time makes replica time
dear, and where more load was left over than by that rule, what would be left over counts more. So whatever is saved of
one is spent on the others, and none of them stays behind for long.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.dilu.paper_shadow import PaperShadow
from dilu_autoscaler.policy.horizontal.dilu.settings import TIME_RATIO, CoscaleSpec

START_PRICE: Final = 6.0
"""Of one start, in replica seconds of load that is not met."""
_START_STEEPNESS: Final = 0.9
_SECOND_PRICE: Final = 0.26
_SECOND_STEEPNESS: Final = 0.02
_UNMET_STEEPNESS: Final = 0.18
_MAX_UNMET_EXPONENT: Final = 0.66
_MAX_EXPONENT: Final = 4.0
STARTS_RATIO: Final = 1.0
"""Starts to spend, of the paper's."""
_MORE_STARTS: Final = 8.0
"""Share of starts that one more share of replica time allows."""
PLENTY: Final = 1e6
MAX_STARTS, MAX_TIME_S, MAX_UNMET = 12, 900, 300.0
"""The most that counts as in hand, or as owed: what was saved last week is not spent in one night."""


class Credit(NamedTuple):
    """What is left, compared with the paper's rule; below 0 it is owed."""

    starts: float
    time_s: float
    unmet: float


class Prices(NamedTuple):
    """What things are worth now."""

    second: float
    unmet: float


UNBOUNDED: Final = Credit(starts=PLENTY, time_s=PLENTY, unmet=0.0)


def credit_now(spec: CoscaleSpec, shadow: PaperShadow, *, starts: int, replica_s: int, unmet: float) -> Credit:
    """Return what is left after that spending."""
    if not spec.keeps_budget:
        return UNBOUNDED
    return Credit(
        _starts_ratio(spec) * shadow.starts - starts,
        spec.time_ratio * shadow.replica_s - replica_s,
        shadow.unmet - unmet,
    )


def remembered(
    spec: CoscaleSpec, shadow: PaperShadow, *, starts: int, replica_s: int, unmet: float
) -> tuple[int, int, float]:
    """Return the spending, limited so that no credit exceeds its maximum."""
    if not spec.keeps_budget:
        return starts, replica_s, unmet
    credit = credit_now(spec, shadow, starts=starts, replica_s=replica_s, unmet=unmet)
    if abs(credit.starts) < MAX_STARTS and abs(credit.time_s) < MAX_TIME_S and abs(credit.unmet) < MAX_UNMET:
        return starts, replica_s, unmet  # as nearly always
    starts_even = math.floor(_starts_ratio(spec) * shadow.starts)
    time_even_s = math.floor(spec.time_ratio * shadow.replica_s)
    return (
        min(max(starts, starts_even - MAX_STARTS), starts_even + MAX_STARTS),
        min(max(replica_s, time_even_s - MAX_TIME_S), time_even_s + MAX_TIME_S),
        min(max(unmet, shadow.unmet - MAX_UNMET), shadow.unmet + MAX_UNMET),
    )


def _starts_ratio(spec: CoscaleSpec) -> float:
    return max(0.0, STARTS_RATIO + _MORE_STARTS * (spec.time_ratio - TIME_RATIO))


def prices_at(credit: Credit) -> Prices:
    """Return the prices of a second and of unmet load."""
    if credit is UNBOUNDED:
        return Prices(_SECOND_PRICE, 1.0)
    owed = min(_MAX_EXPONENT, max(-_MAX_EXPONENT, -_SECOND_STEEPNESS * credit.time_s))
    behind = min(_MAX_UNMET_EXPONENT, max(0.0, -_UNMET_STEEPNESS * credit.unmet))
    return Prices(_SECOND_PRICE * math.exp(owed), math.exp(behind) if behind else 1.0)


def start_price(credit: Credit, further: int = 0) -> float:
    """Return the price of a start after that many further ones."""
    if credit is UNBOUNDED:
        return START_PRICE
    owed = -_START_STEEPNESS * (credit.starts - further)
    return START_PRICE * math.exp(min(_MAX_EXPONENT, max(-_MAX_EXPONENT, owed)))
