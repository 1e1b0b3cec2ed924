"""A period in the load, found by autocorrelation, and what the last two periods say about the seconds to come.

Seconds are put together to steps of a few; with each complete step, its product with each of the last ones is added to
sums that fade. So the work for a step and the memory have a bound. Where no period is found in a full history, steps
become twice as long: then longer periods fit in.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

LAGS: Final = 120
"""Longest period, in steps."""
HISTORY: Final = 2 * LAGS + 1
FIRST_STEP_S: Final = 4
MAX_STEP_S: Final = 1024
"""With this a day is 84 steps."""
_FADE: Final = 0.95
_DIP: Final = 0.2
"""The correlation has to fall below this first: what was a moment ago is alike without any period."""
_MIN_STEPS: Final = 14


class Rhythm(NamedTuple):
    """What is remembered of the load, and the period in it."""

    step_s: int = FIRST_STEP_S
    filled_s: int = 0
    sum_rps: float = 0.0
    """Of the step that is not complete yet."""
    mean_rps: float = 0.0
    steps_rps: tuple[float, ...] = ()
    """Mean rate of each complete step, oldest first, at most HISTORY."""
    products: tuple[float, ...] = ()
    """For each lag: the faded sum of products of deviations that many steps apart."""
    period: int = 0
    """In steps. 0: none was found."""


NO_RHYTHM: Final = Rhythm()


def rhythm_after(rhythm: Rhythm, rps: float, min_correlation: float) -> Rhythm:
    """Return the rhythm after one more second at that rate."""
    step_s, filled_s, sum_rps, mean_rps, steps, products, period = rhythm
    filled_s += 1
    sum_rps += rps
    if filled_s < step_s:
        return Rhythm(step_s, filled_s, sum_rps, mean_rps, steps, products, period)
    value = sum_rps / step_s
    mean_rps += (value - mean_rps) / min(len(steps) + 1, LAGS)
    steps = (*steps, value)[-HISTORY:]
    deviation = value - mean_rps
    if len(products) < min(len(steps), LAGS + 1):
        products = (*products, 0.0)
    # Deviation times (earlier - mean), in as few operations as there can be: this is a third of the work of a second.
    from_mean, newest_first = deviation * mean_rps, steps[: -len(products) - 1 : -1]
    products = tuple(
        [
            _FADE * product + deviation * earlier - from_mean
            for product, earlier in zip(products, newest_first, strict=True)
        ]
    )
    period = _period(products, len(steps), min_correlation)
    if not period and len(steps) == HISTORY and step_s < MAX_STEP_S:
        coarser = tuple([(one + two) / 2 for one, two in zip(steps[1::2], steps[2::2], strict=True)])
        return Rhythm(step_s=2 * step_s, mean_rps=mean_rps, steps_rps=coarser)
    return Rhythm(step_s, 0, 0.0, mean_rps, steps, products, period)


def _period(products: tuple[float, ...], steps: int, min_correlation: float) -> int:
    """Return the lag of the highest correlation after the first dip; 0 if it is too low or the last lag."""
    most = min(LAGS, steps // 2)
    if most < _MIN_STEPS // 2 or len(products) < most or not products[0] > 1e-9:
        return 0
    dip = _DIP * products[0]
    lag = next((lag for lag in range(1, most) if products[lag] <= dip), most)
    if lag >= most - 1:
        return 0
    highest = max(products[lag:most])
    found = products.index(highest, lag)
    return found if highest > min_correlation * products[0] and found < most - 1 else 0


def expected_rps(rhythm: Rhythm, from_s: float, to_s: float) -> list[float]:
    """Return the expected rates between two times ahead, one per step: the lower one of the last two periods.

    Empty where there is no period, or less than two of them.
    """
    period, steps = rhythm.period, rhythm.steps_rps
    if not period:
        return []
    first = len(steps) + math.floor((rhythm.filled_s + from_s) / rhythm.step_s)
    last = len(steps) + math.floor((rhythm.filled_s + to_s) / rhythm.step_s)
    begin = first - 2 * period
    if begin < 0:
        return []
    ahead = last - first + 1
    return list(map(min, steps[begin : begin + ahead], steps[begin + period : begin + period + ahead]))
