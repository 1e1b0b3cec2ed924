"""A mean over seeds and how far it can be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import starmap
from statistics import fmean, stdev
from typing import Final

_NORMAL: Final = 1.959964
_STUDENT: Final = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""The 97.5 % quantiles of Student's t for 1, 2, … degrees of freedom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The mean of some runs, and half of its 95 % interval."""

    mean: float
    half_width: float | None = None
    """None: one value, or values in which nothing is random."""

    @property
    def low(self) -> float:
        """The lower end of the interval."""
        return self.mean - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """The upper end of the interval."""
        return self.mean + (self.half_width or 0.0)


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """Return the mean with its 95 % interval, mean ± t(n-1, 97.5 %) · s / √n; None if a run had no such value.

    >>> estimate([1.0, 2.0, 3.0])
    Estimate(mean=2.0, half_width=2.484338...)
    """
    known: list[float] = []
    for value in values:
        if value is None or not math.isfinite(value):
            return None
        known.append(value)
    if not known:
        return None
    if len(known) == 1:
        return Estimate(mean=known[0])
    half_width = student(len(known) - 1) * stdev(known) / math.sqrt(len(known))
    return Estimate(mean=fmean(known), half_width=half_width)


def paired(
    values: Iterable[float | None], others: Iterable[float | None], *, as_ratio: bool = False
) -> Estimate | None:
    """How much the first are above the others (with `as_ratio`: how many times them), seed by seed."""
    compare = _ratio if as_ratio else _difference
    return estimate(starmap(compare, zip(values, others, strict=True)))


def student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t."""
    if freedom <= len(_STUDENT):
        return _STUDENT[freedom - 1]
    z = _NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _ratio(value: float | None, other: float | None) -> float | None:
    return None if value is None or not other else value / other


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other
