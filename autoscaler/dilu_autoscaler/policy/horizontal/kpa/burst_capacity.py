"""Excess burst capacity, as Knative counts it.

The excess is what the ready replicas could take on top of their load and of the burst that they must be able to absorb.
Below zero, requests go through the activators, which hold back what the replicas cannot take.
"""

from __future__ import annotations

import math
from typing import Final

from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, KpaSpec

MAX_COUNT: Final = 2**31 - 1
"""Knative counts in 32 bits. What is larger becomes this here; there it depends on the processor."""


def excess_burst_capacity(spec: KpaSpec, *, ready: int, panic: float) -> int:
    """Return the excess of the ready replicas at that load over the panic window; -1: the burst target is unlimited."""
    if spec.target_burst_capacity == UNLIMITED_BURST:
        return -1
    if spec.target_burst_capacity == 0:
        return 0
    return _counted(math.floor(ready * spec.total - spec.target_burst_capacity - panic))


def first_excess_burst_capacity(spec: KpaSpec, *, initial_scale: int) -> int:
    """Return the excess that is assumed before the first evaluation: that of the initial scale without load."""
    if spec.target_burst_capacity in (UNLIMITED_BURST, 0):
        return int(spec.target_burst_capacity)
    return _counted(math.trunc(initial_scale * spec.total - spec.target_burst_capacity))


def has_crossed_zero(before: int, after: int) -> bool:
    """Return whether one excess is below zero and the other is not: requests take the other way from then on."""
    return (before < 0) != (after < 0)


def _counted(count: int) -> int:
    return min(max(count, -MAX_COUNT - 1), MAX_COUNT)
