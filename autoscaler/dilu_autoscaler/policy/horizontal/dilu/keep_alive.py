"""How many replicas are kept that are not needed, and for how long."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

from dilu_autoscaler.policy.horizontal.dilu.gap_histogram import EDGES_S, Gaps, best_keep_s
from dilu_autoscaler.policy.horizontal.dilu.periodicity import expected_rps
from dilu_autoscaler.policy.horizontal.dilu.prices import Credit, prices_at, start_price
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_autoscaler.policy.horizontal.dilu.situation import (
    EVEN,
    LATELY_SAMPLES,
    MAX_DEBT_S,
    RECENT_SAMPLES,
    SPARE,
    TAIL_S,
    Situation,
)
from dilu_autoscaler.policy.horizontal.dilu_paper import IN_SAMPLES, WINDOW_SAMPLES

_RETURN_UNMET: Final = 0.94
"""Of a replica: how much is not met each second until what was let go too early is back."""
_LAST_UNMET: Final = 0.3
"""The same of the last replica: who asks a function that rests is seldom many."""
_DETECT_S: Final = 3
_MAX_KEEP_S: Final = 110
_KEEP_STARTS: Final = 0.44
"""Share of a start that must be left for each replica below the shadow's count."""
_MIN_GAPS: Final = 2.5
"""Gaps that must be seen before the last replica is kept for another time than the paper's."""
_MIN_LAST_KEEP_S: Final = 5
_WITHIN_WINDOW: Final = bisect_left(EDGES_S, WINDOW_SAMPLES)
"""Lengths of gaps that are below the paper's time."""
_FEW: Final = 0.05


def enough(now: Situation) -> int:
    """How many the last seconds need."""
    lately_rps = now.recent_rps[-LATELY_SAMPLES:]
    return max(1, math.ceil(sum(lately_rps) / len(lately_rps) / now.full_rps - SPARE))


def keep_s(now: Situation, gaps: Gaps) -> int:
    """For how long what is not needed is kept."""
    if not now.spec.learns_gaps:
        return IN_SAMPLES - 1
    return_price = start_price(now.credit) + now.prices.unmet * _RETURN_UNMET * (now.cold_start_s + _DETECT_S)
    return min(_MAX_KEEP_S, best_keep_s(gaps, second_price=now.prices.second, return_price=return_price))


def kept(now: Situation, kept_s: int) -> int:
    """Return how many replicas stay after a keep-alive of that length: a fifth of that time may have needed more."""
    highest = sorted(now.recent_rps[-max(LATELY_SAMPLES, min(kept_s, RECENT_SAMPLES)) :])
    held = math.ceil(highest[int((len(highest) - 1) * 0.8)] / now.full_rps - SPARE)
    number = max(enough(now), min(now.replicas - 1, held)) if now.spec.right_number else now.replicas - 1
    if now.rhythm.period and now.credit.time_s > -MAX_DEBT_S:
        soon_rps = expected_rps(now.rhythm, 0, now.cold_start_s + TAIL_S)
        number = max(number, math.ceil(max(soon_rps, default=0.0) / now.full_rps - SPARE))
    if now.spec.keeps_budget:  # each one fewer than the shadow has will have to be started again
        in_hand = max(0, math.floor(now.credit.starts - _KEEP_STARTS + 1))
        number = max(number, now.shadow.replicas - in_hand)
    return min(now.replicas, number)


def at_least_the_shadow(now: Situation, wanted: int, *, has_started: bool) -> int:
    """With the paper's rule when it starts, and not in before it."""
    most = now.shadow.replicas
    if now.credit.time_s <= -MAX_DEBT_S or wanted >= most:
        return wanted
    if wanted < now.replicas:
        return min(now.replicas, most)
    return min(most, now.replicas + 1) if has_started and now.credit.starts > -EVEN else wanted


def last_keep_s(spec: CoscaleSpec, credit: Credit, last_gaps: Gaps, cold_start_s: int) -> int:
    """As the gaps so far say; but longer than the paper only with time in hand, and shorter only with a start in hand
    and where next to none of them ended within the paper's time: else it is started twice, and requests wait for it."""
    if not spec.learns_gaps or sum(last_gaps) < _MIN_GAPS:
        return WINDOW_SAMPLES
    prices = prices_at(credit)
    return_price = start_price(credit) + prices.unmet * _LAST_UNMET * cold_start_s
    best_s = max(_MIN_LAST_KEEP_S, best_keep_s(last_gaps, second_price=prices.second, return_price=return_price))
    comes_back = sum(last_gaps[:_WITHIN_WINDOW]) > _FEW * sum(last_gaps)
    min_s = WINDOW_SAMPLES if comes_back or credit.starts < _KEEP_STARTS else 0
    max_s = WINDOW_SAMPLES if credit.time_s < 0 else _MAX_KEEP_S
    return max(min_s, min(max_s, best_s))
