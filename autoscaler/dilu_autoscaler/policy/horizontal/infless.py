"""INFless' rule: between the rate of full batches and the rate at which batches fill too late.

A replica takes at most `r_up = b / t` requests a second (a batch of b takes t), and needs at least `r_low = b / (slo -
t)` for batches to fill in time. Above the sum of r_up, replicas are added for the rest; while the rate is at least
`r_low + 0.8 x (r_up - r_low)` of the present replicas, the count stays; below that it falls until the rule holds again.
A replica that is not needed is kept warm for as long as such gaps have lasted (LSTH: the 90th percentile of the gaps of
a long and of a short window, half each).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
from dilu_autoscaler.policy.horizontal.idle_gaps import NO_GAPS, IdleGaps, gap_percentile, gaps_after
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation

_KEEP_PERCENTILE = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InflessSpec:
    """One function's settings."""

    rps_limit: float | None = None
    """r_up. None: as learned, see `Observation.learned_rps`."""
    batch: int = 1
    slo_s: float | None = None
    """None: no objective, so a batch may fill slowly, and r_low is 0."""
    keep_ratio: float = 0.8
    long_samples: int = 858
    short_samples: int = 200
    gamma_ratio: float = 0.5
    """Weight of the long window."""
    first_keep_alive_s: float = 6.0
    """Until the first gap has ended."""

    def __post_init__(self) -> None:
        check_positive("rps-limit", self.rps_limit)
        check_positive("slo", self.slo_s)
        if not 0 <= self.gamma_ratio <= 1 or not 0 <= self.keep_ratio <= 1:
            raise ConfigError(f"gamma = {self.gamma_ratio}, keep ratio = {self.keep_ratio}, must both be 0 to 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class InflessState:
    """The gaps, the keep-alive learned from them, and for how long fewer replicas were enough."""

    gaps: IdleGaps = NO_GAPS
    keep_alive_s: float = 0.0
    low_samples: int = 0
    """Newest samples in a row that needed fewer replicas."""
    quiet: Quiet = NEVER_QUIET


def infless_spec_for(function: FunctionSpec) -> InflessSpec:
    """Return the rule's settings for a function."""
    return InflessSpec(rps_limit=function.rps_limit, batch=function.batch or 1, slo_s=function.slo_s)


def initial_state(spec: InflessSpec, seen: Observation, now_s: float) -> InflessState:
    """Return the state of a function that is observed for the first time."""
    return InflessState(keep_alive_s=spec.first_keep_alive_s, quiet=quiet_first(seen))


def decide(spec: InflessSpec, seen: Observation, state: InflessState, now_s: float) -> tuple[Decision, InflessState]:
    """Decide on more replicas at once for load above the present ones, on fewer after the learned keep-alive."""
    quiet = quiet_then(seen, state.quiet)
    up_rps = spec.rps_limit or seen.learned_rps
    if not up_rps:
        return hold(seen, UNKNOWN_THROUGHPUT), replace(state, quiet=quiet)
    if not seen.samples:
        next_change_s = None if seen.desired == 0 else after_quiet_samples(1, now_s)
        return hold(seen, "hold: no new sample", next_change_s), replace(state, quiet=quiet)
    min_rps = _min_rps(spec, up_rps)
    replicas, low, gaps = seen.desired, state.low_samples, state.gaps
    for sample in seen.samples:
        need = replicas_for(sample.rps, up_rps)
        gaps = gaps_after(gaps, need, long_samples=spec.long_samples)
        few = max(need, _kept(sample.rps, min_rps))
        low = low + 1 if few < replicas else 0
        if need > replicas or low > state.keep_alive_s:
            replicas, low = (need if need > replicas else few), 0
    if replicas == 0 and keeps_last(seen, quiet, state.keep_alive_s):
        replicas = 1
    keep_alive_s = state.keep_alive_s if gaps.ended == state.gaps.ended else _keep_alive_s(spec, gaps)
    reason = f"{seen.samples[-1].rps:g} rps; {replicas} take {replicas * up_rps:.1f}, fewer below {min_rps:.1f} each"
    if low:
        reason += f"; fewer enough for {low} s, limit {keep_alive_s:.1f} s"
    next_change_s = None if replicas == 0 else after_quiet_samples(1, now_s)
    after = InflessState(gaps=gaps, keep_alive_s=keep_alive_s, low_samples=low, quiet=quiet)
    return Decision(replicas=replicas, reason=reason, next_change_s=next_change_s), after


def _min_rps(spec: InflessSpec, up_rps: float) -> float:
    """Return the rate per replica from which on none is removed."""
    batch_s = spec.batch / up_rps
    low_rps = 0.0
    if spec.slo_s is not None:
        low_rps = min(up_rps, spec.batch / (spec.slo_s - batch_s)) if spec.slo_s > batch_s else up_rps
    return low_rps + spec.keep_ratio * (up_rps - low_rps)


def _kept(rps: float, min_rps: float) -> int:
    """Return how many replicas have at least the minimum rate at that total."""
    return int(rps / min_rps + 1e-9) if min_rps > 0 else 0


def _keep_alive_s(spec: InflessSpec, gaps: IdleGaps) -> float:
    long_s = gap_percentile(gaps, _KEEP_PERCENTILE, within_samples=spec.long_samples)
    short_s = gap_percentile(gaps, _KEEP_PERCENTILE, within_samples=spec.short_samples)
    if long_s is None:
        return spec.first_keep_alive_s
    return spec.gamma_ratio * long_s + (1 - spec.gamma_ratio) * (long_s if short_s is None else short_s)
