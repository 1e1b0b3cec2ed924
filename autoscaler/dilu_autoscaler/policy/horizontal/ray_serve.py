"""Ray Serve's rule: the requests in flight over a target per replica, once that was wanted for long enough.

The mean of the last 30 s decides; more replicas must have been wanted for 30 s in a row, fewer for 600 s. At zero, the
first request starts one replica at once. The defaults are Ray Serve's, except the bounds, which are the function's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal.demand import (
    NEVER_QUIET,
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
class RayServeSpec:
    """One function's settings."""

    target_ongoing_requests: float = 2.0
    """Per replica."""
    look_back_s: int = 30
    upscale_delay_s: int = 30
    downscale_delay_s: int = 600

    def __post_init__(self) -> None:
        check_positive("target-ongoing-requests", self.target_ongoing_requests)
        check_positive("look-back", self.look_back_s)
        for name, value in (("upscale", self.upscale_delay_s), ("downscale", self.downscale_delay_s)):
            if value < 0:
                raise ConfigError(f"{name} delay = {value} s, must be >= 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class RayServeState:
    """The window of samples, and for how long another count was wanted."""

    ongoing: tuple[float, ...] = ()
    """At most `look_back_s`, oldest first."""
    up_samples: int = 0
    """Newest samples in a row that wanted more replicas."""
    down_samples: int = 0
    """Newest samples in a row that wanted fewer."""
    quiet: Quiet = NEVER_QUIET


def ray_serve_spec_for(function: FunctionSpec) -> RayServeSpec:
    """Return the rule's settings for a function; the target is at least one batch in flight per replica."""
    return RayServeSpec(target_ongoing_requests=max(2.0, float(function.batch or 1)))


def initial_state(spec: RayServeSpec, seen: Observation, now_s: float) -> RayServeState:
    """Return the state of a function that is observed for the first time."""
    return RayServeState(quiet=quiet_first(seen))


def decide(spec: RayServeSpec, seen: Observation, state: RayServeState, now_s: float) -> tuple[Decision, RayServeState]:
    """Decide on the count that was wanted for the whole delay, else on the present one."""
    quiet = quiet_then(seen, state.quiet)
    if not seen.samples:
        after = RayServeState(
            ongoing=state.ongoing, up_samples=state.up_samples, down_samples=state.down_samples, quiet=quiet
        )
        next_change_s = None if seen.desired == 0 else after_quiet_samples(1, now_s)
        return hold(seen, "hold: no new sample", next_change_s), after
    replicas, ongoing = seen.desired, state.ongoing
    up, down, wanted = state.up_samples, state.down_samples, replicas
    for sample in seen.samples:
        ongoing = (*ongoing, sample.concurrency)[-spec.look_back_s :]
        wanted = replicas_for(math.fsum(ongoing) / len(ongoing), spec.target_ongoing_requests)
        up, down = (up + 1 if wanted > replicas else 0), (down + 1 if wanted < replicas else 0)
        if up > spec.upscale_delay_s or down > spec.downscale_delay_s:
            replicas, up, down = wanted, 0, 0
    if replicas == 0 and keeps_last(seen, quiet, spec.downscale_delay_s):
        replicas = 1
    reason = f"{wanted} for {math.fsum(ongoing) / len(ongoing):.2f} in flight at {spec.target_ongoing_requests:g} each"
    if wanted != replicas:
        limit_s = spec.upscale_delay_s if up else spec.downscale_delay_s
        reason += f"; wanted for {max(up, down)} s, limit {limit_s} s"
    after = RayServeState(ongoing=ongoing, up_samples=up, down_samples=down, quiet=quiet)
    next_change_s = None if replicas == 0 else after_quiet_samples(1, now_s)
    return Decision(replicas=replicas, reason=reason, next_change_s=next_change_s), after
