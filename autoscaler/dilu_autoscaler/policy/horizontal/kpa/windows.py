"""Sums over the last seconds, and the highest of the last values, as plain values.

The arithmetic is Knative's to the last bit: buckets of one second, values of one second add up, one running total is
kept (never summed afresh), an average is rounded to six decimals. Each function returns a new value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

ROUNDED_DIGITS = 6
MAX_VALUE = 1e15
"""Larger values and NaN are dropped: no load is that high, and one of them would distort the running total, by rounding
or as NaN, long after its second has passed."""


class Window(NamedTuple):
    """The values of the last `len(buckets)` seconds. A tuple, because KPA makes four of them in a decision."""

    buckets: tuple[float, ...]
    """A ring: second t is at t modulo the length until a later second takes its place."""
    first_s: int | None = None
    """Oldest second written. None: unknown, so before all that the buckets hold."""
    last_s: int | None = None
    """Newest second written. None: none was written."""
    total: float = 0.0
    """Running sum of the buckets, with whatever rounding it went through."""


def empty_window(seconds: int) -> Window:
    """Return a window of that many seconds in which nothing was written yet."""
    return Window(buckets=(0.0,) * seconds)


def record(window: Window, points: Iterable[tuple[float, float]]) -> Window:
    """Return the window with `(time, value)` points added to their seconds; points older than it are dropped."""
    buckets, size = list(window.buckets), len(window.buckets)
    first_s, last_s, total = window.first_s, window.last_s, window.total
    for t_s, value in points:
        second = math.floor(t_s)
        if not abs(value) <= MAX_VALUE:  # nor a NaN
            continue
        if last_s is None or second - last_s >= size:  # a whole window without a write: start again
            buckets, total, first_s, last_s = [0.0] * size, 0.0, second, second
        elif second + size <= last_s:
            continue
        elif second != last_s:
            first_s = second if first_s is None else min(first_s, second)
            for passed in range(last_s + 1, second + 1):
                total -= buckets[passed % size]
                buckets[passed % size] = 0.0
            last_s = max(last_s, second)
        buckets[second % size] += value
        total += value
    return Window(buckets=tuple(buckets), first_s=first_s, last_s=last_s, total=total)


def record_one(window: Window, t_s: float, value: float) -> Window:
    """Return the window with one point added, as `record` does; faster for the second after the newest one."""
    before, first_s, last_s, total = window
    second, size = math.floor(t_s), len(before)
    if last_s is None or second != last_s + 1 or size == 1 or not -MAX_VALUE <= value <= MAX_VALUE:
        return record(window, ((t_s, value),))
    place = second % size
    buckets = list(before)
    buckets[place] = 0.0 + value
    first_s = first_s if first_s is not None and first_s < second else second
    return Window(tuple(buckets), first_s, second, total - before[place] + value)


def is_empty(window: Window, now_s: float) -> bool:
    """Return whether nothing is known of the last seconds: the last write is over a second older than the window."""
    return window.last_s is None or math.floor(now_s) - window.last_s > len(window.buckets)


def average(window: Window, now_s: float) -> float:
    """Return the mean over the seconds written; seconds since the last write shorten the window, they are no zeros."""
    if window.last_s is None:
        return 0.0
    size, last_s, total = len(window.buckets), window.last_s, window.total
    behind = max(0, math.floor(now_s) - last_s)
    if behind >= size:
        return 0.0
    for passed in range(last_s + 1, last_s + behind + 1):
        total -= window.buckets[passed % size]
    known = size if window.first_s is None else last_s - window.first_s + 1
    return rounded(total / min(known, size - behind), ROUNDED_DIGITS)


def weighted_average(window: Window, now_s: float) -> float:
    """Return the sum in which each second weighs less than the one after it; neither rounded nor normalised."""
    if window.last_s is None:
        return 0.0
    size, last_s = len(window.buckets), window.last_s
    behind = max(0, math.floor(now_s) - last_s)
    coefficient = smoothing_coefficient(size)
    weight = coefficient * _power(1 - coefficient, behind) if behind else coefficient
    result = 0.0
    for age in range(size - behind):
        result += window.buckets[(last_s - age) % size] * weight
        weight *= 1 - coefficient
    return result


def resized(window: Window, seconds: int, now_s: float) -> Window:
    """Return the window with another length; it keeps the newest seconds that fit.

    An empty one keeps only the time of its last write: a longer window that reaches back to that time then has zero
    load, instead of no data.
    """
    old = len(window.buckets)
    if seconds == old:
        return window
    if window.last_s is None or is_empty(window, now_s):
        return Window(buckets=(0.0,) * seconds, last_s=window.last_s)
    buckets, total = [0.0] * seconds, 0.0
    for second in range(window.last_s, window.last_s - min(old, seconds), -1):
        buckets[second % seconds] = window.buckets[second % old]
        total += window.buckets[second % old]
    return Window(buckets=tuple(buckets), first_s=window.last_s - (old - 1), last_s=window.last_s, total=total)


def rounded(value: float, digits: int) -> float:
    """Return the value with that many decimals, a half away from zero (Python's `round`: to the even digit)."""
    scale = 10.0**digits
    scaled = value * scale
    whole = math.trunc(scaled)
    if abs(scaled - whole) >= 0.5:
        whole += 1 if scaled > 0 else -1
    return whole / scale


def smoothing_coefficient(seconds: int) -> float:
    """Return the weight of the newest second of such a window: at least 0.2; all weight but 0.0001 is in the window."""
    return _COEFFICIENTS[seconds - 1] if seconds <= len(_COEFFICIENTS) else 0.2


# 1 - 0.0001 ** (1/n) for n = 1, 2, ... as Knative has it on amd64. Written out, because the root's last bit depends on
# the maths library: C's is another than Go's for eleven of these.
_COEFFICIENTS = (
    0.9999,
    0.99,
    0.9535841116638721,
    0.9,
    0.8415106807538886,
    0.7845565309968116,
    0.7317304204720274,
    0.683772233983162,
    0.6406186336195372,
    0.6018928294465027,
    0.5671238718916941,
    0.535841116638722,
    0.507611736829326,
    0.4820525320768788,
    0.45883047345353634,
    0.4376586748096509,
    0.41829086706256413,
    0.40051574968105896,
    0.3841517889339736,
    0.36904265551980675,
    0.3550533228962376,
    0.342066775342432,
    0.3299812496490411,
    0.31870793094203875,
    0.3081690290810636,
    0.29829617132961717,
    0.28902905676875645,
    0.28031432699884795,
    0.27210461560168486,
    0.2643577455403586,
    0.25703604924050527,
    0.2501057906675441,
    0.24353667244537114,
    0.23730141409765548,
    0.231375389960226,
    0.2257363173188729,
    0.22036398695947668,
    0.21524002964853872,
    0.21034771315002732,
    0.2056717652757185,
    0.20119821919842973,
)


def _power(base: float, exponent: int) -> float:
    """Return `base ** exponent`, by repeated squaring of mantissa and power of two apart: the last bit as in Go.

    C's `pow` gives another. Without the split, results below 2.2e-308 (0.8 to the 3200th) would be rounded otherwise.
    """
    mantissa, twos = math.frexp(base)
    result, result_twos = 1.0, 0
    while exponent:
        if exponent & 1:
            result *= mantissa
            result_twos += twos
        mantissa *= mantissa
        twos *= 2
        if mantissa < 0.5:
            mantissa *= 2
            twos -= 1
        exponent >>= 1
    return math.ldexp(result, result_twos)


@dataclass(frozen=True, slots=True, kw_only=True)
class SlidingMaximum:
    """The highest value of the last `slots` steps."""

    slots: int
    maxima: tuple[tuple[int, int], ...] = ()
    """(step, value): steps ascend, values descend, so the first is the highest and the rest may yet become it."""

    @property
    def current(self) -> int:
        """The highest value in the window. It needs a recorded value."""
        return self.maxima[0][1]


def record_maximum(window: SlidingMaximum, step: int, value: int) -> SlidingMaximum:
    """Return the window with one more value. Steps do not go back; of several values at one step the highest counts."""
    kept = [(at, high) for at, high in window.maxima if high > value and step - at < window.slots]
    if kept and kept[-1][0] == step:
        return SlidingMaximum(slots=window.slots, maxima=tuple(kept))
    return SlidingMaximum(slots=window.slots, maxima=(*kept, (step, value)))
