"""How long a replica takes to become ready, learned from how many are starting and how many are ready."""

from __future__ import annotations

from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.observations import Observation

ASSUMED_COLD_START_S: Final = 10.0
"""Until one was seen: a container and a model of some hundred MB."""
_MAX_PENDING: Final = 64


class ColdStarts(NamedTuple):
    """The last cold start, and those that are under way."""

    last_s: float = ASSUMED_COLD_START_S
    ready: int = 0
    begun_s: tuple[float, ...] = ()
    """When each replica that is starting was first seen, oldest first."""


def cold_starts_first(seen: Observation) -> ColdStarts:
    """Return what is known at the first observation: when the present starts began is not."""
    return ColdStarts(ready=seen.ready)


def cold_starts_after(before: ColdStarts, seen: Observation, now_s: float) -> ColdStarts:
    """Return what is known after one more observation. The oldest starts are taken to be the first to become ready."""
    begun_s = before.begun_s
    if seen.ready == before.ready and seen.starting == len(begun_s):
        return before
    last_s = before.last_s
    became_ready = min(seen.ready - before.ready, len(begun_s) - seen.starting)
    if became_ready > 0:
        last_s = max(1.0, now_s - begun_s[became_ready - 1])
        begun_s = begun_s[became_ready:]
    begun_s = (*begun_s, *[now_s] * min(_MAX_PENDING, seen.starting - len(begun_s)))
    return ColdStarts(last_s, seen.ready, begun_s[: min(seen.starting, _MAX_PENDING)])
