"""A period in the load, found by autocorrelation, and what the last two periods say about the seconds to come.

Seconds are summed up to steps. With each complete step, its product with each of the last ones is added to sums that
fade, so the work of a step and the memory are bounded. Where a full history shows no period, steps become twice as
long, and longer periods fit into it.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.dilu_target.gaps import FADE

FIRST_STEP_S: Final = 4
"""Length of a step at first: periods from about half a minute are found."""
MAX_LAG: Final = 120
"""Longest period, in steps: what a decision may cost."""
MIN_CORRELATION: Final = 0.6
"""Correlation of the load with itself one period ago from which on it is a period."""
_HISTORY: Final = 2 * MAX_LAG + 1


class Period(NamedTuple):
    """What is remembered of the load, and the period in it."""

    step_s: int = FIRST_STEP_S
    filled_s: int = 0
    sum_rps: float = 0.0
    """Of the step that is not complete yet."""
    mean_rps: float = 0.0
    steps_rps: tuple[float, ...] = ()
    """Mean rate of each complete step, oldest first."""
    products: tuple[float, ...] = ()
    """For each lag: the faded sum of products of deviations that many steps apart."""
    period: int = 0
    """In steps. 0: none was found."""


NO_PERIOD: Final = Period()


def period_after(before: Period, rps: float) -> Period:
    """Return what is known after one more second at that rate."""
    step_s, filled_s, sum_rps, mean_rps, steps, products, period = before
    filled_s += 1
    sum_rps += rps
    if filled_s < step_s:
        return Period(step_s, filled_s, sum_rps, mean_rps, steps, products, period)
    value = sum_rps / step_s
    mean_rps += (value - mean_rps) / min(len(steps) + 1, MAX_LAG)
    steps = (*steps, value)[-_HISTORY:]
    deviation = value - mean_rps
    if len(products) < min(len(steps), MAX_LAG + 1):
        products = (*products, 0.0)
    # deviation x (earlier - mean), in few operations: this is a third of the work of a second.
    from_mean, newest_first = deviation * mean_rps, steps[: -len(products) - 1 : -1]
    products = tuple(
        [
            FADE * product + deviation * earlier - from_mean
            for product, earlier in zip(products, newest_first, strict=True)
        ]
    )
    period = _found(products, len(steps))
    if not period and len(steps) == _HISTORY:
        coarser = tuple([(one + two) / 2 for one, two in zip(steps[1::2], steps[2::2], strict=True)])
        return Period(step_s=2 * step_s, mean_rps=mean_rps, steps_rps=coarser)
    return Period(step_s, 0, 0.0, mean_rps, steps, products, period)


def _found(products: tuple[float, ...], steps: int) -> int:
    """Return the lag of the first peak behind the first dip below zero; 0 where none is high enough.

    The dip comes first since what was a moment ago is alike without any period; the first peak, for two periods are
    alike as well.
    """
    max_lag = min(MAX_LAG, steps // 2)
    if len(products) < max_lag or not products or not products[0] > 1e-9:
        return 0
    least = MIN_CORRELATION * products[0]
    dip = next((lag for lag in range(1, max_lag) if products[lag] <= 0), max_lag)
    lag = next((lag for lag in range(dip, max_lag) if products[lag] > least), max_lag)
    while lag + 1 < max_lag and products[lag + 1] > products[lag]:
        lag += 1
    return lag if lag < max_lag - 1 else 0


def expected_rps(known: Period, from_s: float, to_s: float) -> list[float]:
    """Return the rates to expect between those seconds ahead, one for each step: the lower of the last two periods.

    Empty where there is no period, or less than two of them.
    """
    period, steps = known.period, known.steps_rps
    if not period:
        return []
    first = len(steps) + math.floor((known.filled_s + from_s) / known.step_s)
    last = len(steps) + math.floor((known.filled_s + to_s) / known.step_s)
    begin = first - 2 * period
    if begin < 0:
        return []
    ahead = last - first + 1
    return list(map(min, steps[begin : begin + ahead], steps[begin + period : begin + period + ahead]))
