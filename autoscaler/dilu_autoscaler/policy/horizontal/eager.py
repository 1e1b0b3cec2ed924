"""The eager rule: at once the replicas that the last second's rate needs, fewer only after a keep-alive.

It stands for schedulers that follow the load, such as FaST-GShare's, in the form that replays its published numbers:
one timer per function. When the need was below the present count for more than `keep_alive_s` seconds in a row, the
count falls to the need.
"""

from __future__ import annotations

from dataclasses import dataclass

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal.demand import (
    NEVER_QUIET,
    UNKNOWN_THROUGHPUT,
    Quiet,
    after_quiet_samples,
    check_positive,
    hold,
    keeps_last,
    quiet_first,
    quiet_then,
    replicas_for,
)
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class EagerSpec:
    """One function's settings."""

    rps_limit: float | None = None
    """Throughput of one replica. None: as learned, see `Observation.learned_rps`."""
    keep_alive_s: int = 15

    def __post_init__(self) -> None:
        check_positive("rps-limit", self.rps_limit)
        if self.keep_alive_s < 0:
            raise ConfigError(f"keep-alive = {self.keep_alive_s} s, must be >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class EagerState:
    """The timer."""

    low_samples: int = 0
    """Newest samples in a row that needed fewer replicas than there are."""
    quiet: Quiet = NEVER_QUIET


def eager_spec_for(function: FunctionSpec) -> EagerSpec:
    """Return the rule's settings for a function."""
    return EagerSpec(rps_limit=function.rps_limit)


def initial_state(spec: EagerSpec, seen: Observation, now_s: float) -> EagerState:
    """Return the state of a function that is observed for the first time."""
    return EagerState(quiet=quiet_first(seen))


def decide(spec: EagerSpec, seen: Observation, state: EagerState, now_s: float) -> tuple[Decision, EagerState]:
    """Decide on the newest sample's need; keep the count while fewer were needed for less than the keep-alive."""
    quiet = quiet_then(seen, state.quiet)
    replica_rps = spec.rps_limit or seen.learned_rps
    low = state.low_samples
    next_change_s = None if seen.desired == 0 else after_quiet_samples(spec.keep_alive_s + 1 - low, now_s)
    if not replica_rps:
        return hold(seen, UNKNOWN_THROUGHPUT), EagerState(quiet=quiet)
    if not seen.samples:
        return hold(seen, "hold: no new sample", next_change_s), EagerState(low_samples=low, quiet=quiet)
    replicas = seen.desired
    need = 0
    for sample in seen.samples:
        need = replicas_for(sample.rps, replica_rps)
        low = low + 1 if need < replicas else 0
        if need > replicas or low > spec.keep_alive_s:
            replicas, low = need, 0
    if replicas == 0 and keeps_last(seen, quiet, spec.keep_alive_s + 1):
        replicas = 1
    next_change_s = None if replicas == 0 else after_quiet_samples(spec.keep_alive_s + 1 - low, now_s)
    reason = f"{need} for {seen.samples[-1].rps:g} rps at {replica_rps:.1f} per replica"
    if need < replicas:
        reason += f"; {replicas} kept: fewer needed for {low} s, limit {spec.keep_alive_s} s"
    decision = Decision(replicas=replicas, reason=reason, next_change_s=next_change_s)
    return decision, EagerState(low_samples=low, quiet=quiet)
