"""What the rate-driven policies share: the replicas that a rate needs, and when the last replica stays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation, quiet_after

UNKNOWN_THROUGHPUT: Final = (
    "hold: the throughput of one replica is unknown: no rps-limit is set and none was learned yet"
)
_EDGE: Final = 1e-9
"""A load above a whole number of replicas by a rounding error needs no further one."""


def replicas_for(rps: float, replica_rps: float) -> int:
    """Return how many replicas of that throughput take the rate.

    >>> [replicas_for(rps, 56.0) for rps in (0.0, 0.1, 56.0, 56.1)]
    [0, 1, 1, 2]
    """
    return math.ceil(rps / replica_rps - _EDGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """How long a function has had no request."""

    samples: int = 0
    """Newest samples in a row without an arrival and without a request in flight. The count restarts with each waiting
    request, and when the first replica is ready."""
    was_ready: bool = True
    """Whether any replica was ready when last seen."""


NEVER_QUIET: Final = Quiet()


def quiet_first(seen: Observation) -> Quiet:
    """Return the quietness of a function that is observed for the first time."""
    return Quiet(was_ready=seen.ready > 0)


def quiet_then(seen: Observation, before: Quiet) -> Quiet:
    """Return the quietness after one more observation."""
    restarts = seen.waiting > 0 or (seen.ready > 0 and not before.was_ready)
    samples = 0 if restarts else quiet_after(seen.samples, before.samples)
    is_ready = seen.ready > 0
    if samples == before.samples and is_ready == before.was_ready:
        return before
    return Quiet(samples=samples, was_ready=is_ready)


def keeps_last(seen: Observation, quiet: Quiet, quiet_s: float) -> bool:
    """Return whether one replica is needed at any load: a request waits, the replica is still starting, or a request
    came within the last `quiet_s` seconds."""
    if seen.desired == 0:
        return seen.waiting > 0 or any(not sample.is_quiet for sample in seen.samples)
    return seen.waiting > 0 or seen.is_coming_up or quiet.samples < quiet_s


def after_quiet_samples(samples: float, now_s: float) -> float:
    """Return the time at which that number of further samples is complete, at least one."""
    return float(math.floor(now_s) + max(1, math.ceil(samples)))


def hold(seen: Observation, reason: str, next_change_s: float | None = None) -> Decision:
    """Return the decision to keep the count, except that a waiting request starts the first replica."""
    if seen.waiting and seen.desired == 0:
        return Decision(replicas=1, reason=f"from zero: {seen.waiting} waiting")
    return Decision(replicas=None, reason=reason, next_change_s=next_change_s)


def check_positive(name: str, value: float | None) -> None:
    """Raise ConfigError unless the value is a number above 0, or None."""
    if value is not None and not value > 0:
        raise ConfigError(f"{name} = {value}, must be > 0")
