"""How long replicas take to become ready, learned from how many are starting and how many are ready."""

from __future__ import annotations

from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.observations import Observation

ASSUMED_S: Final = 10.0
"""Until one was seen to become ready."""
_WEIGHT: Final = 0.4
"""Of the newest one."""
_MAX_PENDING: Final = 64


class ColdStartTimes(NamedTuple):
    """What is known of a function's cold starts."""

    typical_s: float = ASSUMED_S
    seen: int = 0
    ready: int = 0
    """As last seen."""
    begun_s: tuple[float, ...] = ()
    """When each that is starting was first seen, oldest first; at most `_MAX_PENDING`."""


def cold_start_times_first(seen: Observation) -> ColdStartTimes:
    """Of a function first looked at now. When those began that start already, is not known."""
    return ColdStartTimes(ready=seen.ready)


def cold_start_times_then(seen: Observation, before: ColdStartTimes, now_s: float) -> ColdStartTimes:
    """After one more observation. The oldest that start become ready first; the newest are stopped first."""
    begun_s = before.begun_s
    if seen.ready == before.ready and seen.starting == len(begun_s):
        return before
    typical_s, count = before.typical_s, before.seen
    for _ in range(min(seen.ready - before.ready, len(begun_s) - seen.starting)):
        took_s = max(0.0, now_s - begun_s[0])
        begun_s, count = begun_s[1:], count + 1
        typical_s = took_s if count == 1 else typical_s + _WEIGHT * (took_s - typical_s)
    begun_s = (*begun_s, *[now_s] * min(_MAX_PENDING, seen.starting - len(begun_s)))
    return ColdStartTimes(typical_s, count, seen.ready, begun_s[: min(seen.starting, _MAX_PENDING)])
