"""Kubernetes' horizontal pod autoscaler on the request rate: every 15 s, with a tolerance, and slowly down.

`desired = ceil(rate / target)`, unless the load per replica is within 10 % of the target; up by at most four replicas
or twofold in one step, down to the highest recommendation of the last 300 s. It has no zero: KEDA adds it, which
watches for the first event and removes the last replica 300 s after the last one. Both have their defaults here.
"""

from __future__ import annotations

import math
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

_UP_REPLICAS = 4
_UP_TIMES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaSpec:
    """One function's settings. The defaults are Kubernetes' and KEDA's, except the target, which has none there."""

    rps_limit: float | None = None
    """Throughput of one replica. None: as learned, see `Observation.learned_rps`."""
    target_ratio: float = 0.7
    """Share of that throughput to aim for: KPA's, so that the two differ only in their rules."""
    sync_s: int = 15
    tolerance_ratio: float = 0.1
    stabilization_s: int = 300
    cooldown_s: int = 300
    """Quiet seconds after which the last replica is removed."""

    def __post_init__(self) -> None:
        check_positive("rps-limit", self.rps_limit)
        check_positive("target ratio", self.target_ratio)
        check_positive("sync period", self.sync_s)
        if not self.tolerance_ratio >= 0:
            raise ConfigError(f"tolerance = {self.tolerance_ratio}, must be >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class HpaState:
    """What is remembered between two syncs."""

    sum_rps: float = 0.0
    """Of the samples since the last sync."""
    samples: int = 0
    recommended: tuple[tuple[float, int], ...] = ()
    """(when, replicas): times ascend, numbers descend, so the first is the highest that still counts."""
    quiet: Quiet = NEVER_QUIET


def hpa_spec_for(function: FunctionSpec) -> HpaSpec:
    """Return the rule's settings for a function."""
    return HpaSpec(rps_limit=function.rps_limit)


def initial_state(spec: HpaSpec, seen: Observation, now_s: float) -> HpaState:
    """Return the state of a function that is observed for the first time."""
    return HpaState(recommended=((now_s, seen.desired),), quiet=quiet_first(seen))


def decide(spec: HpaSpec, seen: Observation, state: HpaState, now_s: float) -> tuple[Decision, HpaState]:
    """Decide at each sync, by default every 15th new sample; between two syncs the count stays."""
    quiet = quiet_then(seen, state.quiet)
    sum_rps = state.sum_rps + math.fsum([sample.rps for sample in seen.samples])
    gathered = HpaState(
        sum_rps=sum_rps, samples=state.samples + len(seen.samples), recommended=state.recommended, quiet=quiet
    )
    replica_rps = spec.rps_limit or seen.learned_rps
    next_sync_s = after_quiet_samples(spec.sync_s - gathered.samples, now_s)
    if not replica_rps:
        return hold(seen, UNKNOWN_THROUGHPUT), HpaState(recommended=state.recommended, quiet=quiet)
    if seen.desired == 0:
        return _from_zero(spec, seen, quiet, now_s)
    if gathered.samples < spec.sync_s:
        return hold(
            seen, f"hold: {gathered.samples} of {spec.sync_s} samples until the next sync", next_sync_s
        ), gathered
    return _synced(spec, seen, gathered, replica_rps * spec.target_ratio, now_s)


def _from_zero(spec: HpaSpec, seen: Observation, quiet: Quiet, now_s: float) -> tuple[Decision, HpaState]:
    if keeps_last(seen, quiet, spec.cooldown_s):
        decision = Decision(
            replicas=1,
            reason=f"from zero: {seen.waiting} waiting, {len(seen.samples)} new samples",
            next_change_s=after_quiet_samples(spec.sync_s, now_s),
        )
        return decision, HpaState(recommended=((now_s, 1),), quiet=quiet)
    return Decision(replicas=0, reason="zero: no demand"), HpaState(quiet=quiet)


def _synced(
    spec: HpaSpec, seen: Observation, gathered: HpaState, target_rps: float, now_s: float
) -> tuple[Decision, HpaState]:
    rps = gathered.sum_rps / gathered.samples
    ratio = rps / (target_rps * seen.desired)
    need = seen.desired if abs(ratio - 1) <= spec.tolerance_ratio else replicas_for(rps, target_rps)
    # At least one: KEDA decides on the last one.
    need = max(min(need, max(seen.desired + _UP_REPLICAS, seen.desired * _UP_TIMES)), 1)
    kept = tuple(
        (at_s, high) for at_s, high in gathered.recommended if high > need and now_s - at_s < spec.stabilization_s
    )
    recommended = (*kept, (now_s, need))
    replicas = recommended[0][1] if need < seen.desired else need
    replicas = min(replicas, max(seen.desired, need))
    if replicas == 1 and not keeps_last(seen, gathered.quiet, spec.cooldown_s):
        replicas = 0
    reason = f"{need} for {rps:.1f} rps at {target_rps:.1f} per replica"
    if replicas > need:
        reason += f"; {replicas} kept: recommended within the last {spec.stabilization_s} s"
    next_change_s = None if replicas == 0 else after_quiet_samples(spec.sync_s, now_s)
    decision = Decision(replicas=replicas, reason=reason, next_change_s=next_change_s)
    return decision, HpaState(recommended=recommended, quiet=gathered.quiet)
