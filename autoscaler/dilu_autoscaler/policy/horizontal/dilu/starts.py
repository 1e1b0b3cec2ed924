"""How many more replicas are worth their start and their time: for the load that there is, and for one that is due."""

from __future__ import annotations

import math
from typing import Final

from dilu_autoscaler.policy.horizontal.dilu.burst_duration import outlook
from dilu_autoscaler.policy.horizontal.dilu.periodicity import expected_rps
from dilu_autoscaler.policy.horizontal.dilu.prices import Credit, start_price
from dilu_autoscaler.policy.horizontal.dilu.situation import EVEN, LATELY_SAMPLES, MAX_DEBT_S, TAIL_S, Situation

_BURST_SCALE_S, _BURST_SHAPE = 10.0, 1.15
_MIN_UNMET: Final = 0.02
"""Of a replica: for less than that none starts, whatever it costs."""
_OVERLOAD: Final = 8
"""Times what its replicas take: a load so high is answered at once."""
_MAX_ASKED: Final = 64
"""Replicas that are weighed one by one; if a load needs more, they are started a second later."""
_LEAD_ABOVE: Final = 6
"""Samples above all replicas with which the shadow counts as on its way out; it needs 20."""
_LEAD_STARTS, _FORECAST_STARTS, _CATCH_UP_STARTS = 0.78, 1.64, 0.6
"""Starts that may be owed when one more comes ahead of the shadow, of a known period, and after the shadow's."""
_FOLLOW_RATIO: Final = 0.36
"""Of the price of a start, where the shadow has made it already."""
_BUY_S, _MAX_BOUGHT = 67.0, 2.0
"""Saved replica seconds that pay for a start, and the most starts at a time."""
_FORECAST_UNMET: Final = 0.163
"""Of a replica: for less than that none starts ahead."""
_FORECAST_AHEAD_S: Final = 40


def worth_starting(now: Situation) -> int:
    """How many more are worth it for the load that there is."""
    if now.above_samples < 2 or len(now.recent_rps) < LATELY_SAMPLES:
        return 0
    credit, prices = now.credit, now.prices
    rest_s, after_s = outlook(now.above_samples, now.cold_start_s, _BURST_SCALE_S, _BURST_SHAPE)
    time_price = prices.second * (max(rest_s, now.cold_start_s / 2) + TAIL_S)
    loads = [rps / now.full_rps for rps in now.recent_rps[-LATELY_SAMPLES:]]
    there = now.replicas - now.uncounted
    most = math.ceil(max(loads)) - there
    most = most if now.spec.right_number else min(1, most)
    pays = prices.unmet * after_s >= start_price(credit) + time_price
    more = max(0, min(most, _at_once(now, min(loads), pays=pays)))
    most = min(most, more + _MAX_ASKED)
    while more < most:
        unmet = sum([min(1.0, load - there - more) for load in loads if load > there + more]) / LATELY_SAMPLES
        if unmet <= _MIN_UNMET or not _may_start(now, more):
            break
        follows = now.shadow.replicas > now.replicas + more and credit.starts - more > -EVEN
        price = start_price(credit, more) * (_FOLLOW_RATIO if follows else 1.0)
        if prices.unmet * unmet * after_s < price + time_price:
            break
        more += 1
    return more


def _at_once(now: Situation, load: float, *, pays: bool) -> int:
    """How many more without asking for each.

    Without a budget those that are full, if one is worth it. Else none, unless the load is many times what there is:
    the paper's rule adds one in 20 s, so it never reaches such a load, and what it would spend is no measure then.
    """
    there = now.replicas - now.uncounted
    if not now.spec.keeps_budget:
        return math.floor(load) - there if pays else 0
    return math.floor(load / _OVERLOAD) - there


def _may_start(now: Situation, more: int) -> bool:
    """Whether the budget has a further start: after the shadow's; else with one in hand, or where the shadow is on its
    way to it too."""
    spec, credit, shadow = now.spec, now.credit, now.shadow
    if not spec.keeps_budget:
        return True
    left = credit.starts - more
    if shadow.replicas > now.replicas + more:
        return left + _bought(credit) >= -_CATCH_UP_STARTS
    on_its_way = left >= EVEN or shadow.above >= _LEAD_ABOVE
    return spec.leads and on_its_way and left >= EVEN - _LEAD_STARTS and credit.time_s >= -MAX_DEBT_S


def _bought(credit: Credit) -> float:
    """Return the starts that saved replica time pays for while the paper's rule would have met more load."""
    if credit.unmet >= 0 or credit.time_s <= 0:
        return 0.0
    return min(_MAX_BOUGHT, credit.time_s / _BUY_S)


def ahead(now: Situation, wanted: int) -> int:
    """Not fewer than wanted; more where the last two periods ask for more when they are ready."""
    near_rps = expected_rps(now.rhythm, now.cold_start_s, now.cold_start_s + 2)
    if not near_rps:
        return wanted
    load = sum(near_rps) / len(near_rps) / now.full_rps
    if load - wanted <= _FORECAST_UNMET:
        return wanted
    credit, prices, step_s = now.credit, now.prices, now.rhythm.step_s
    rates = expected_rps(now.rhythm, now.cold_start_s, now.cold_start_s + _FORECAST_AHEAD_S)
    loads = [rps / now.full_rps for rps in rates]
    while load - wanted > _FORECAST_UNMET and (more := wanted - now.replicas) < _MAX_ASKED:
        unmet = [min(1.0, load - wanted) for load in loads if load > wanted]
        price = start_price(credit, more) + prices.second * (len(unmet) * step_s + now.cold_start_s)
        if credit.starts - more < EVEN - _FORECAST_STARTS or credit.time_s < -MAX_DEBT_S:
            break
        if prices.unmet * sum(unmet) * step_s < price:
            break
        wanted += 1
    return wanted
