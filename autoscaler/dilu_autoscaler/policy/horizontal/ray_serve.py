"""Ray Serve's rule: the requests in flight over a target per replica, once that was wanted for long enough.

The mean of the last 30 s decides; going up must have been wanted for 30 s in a row and going down for 600 s. At zero,
one replica starts at once when somebody asks. The defaults are Ray Serve's, but for the bounds, which are the
function's own.
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
    """The look-back window, and for how long another number was wanted."""

    ongoing: tuple[float, ...] = ()
    """At most `look_back_s`, oldest first."""
    up_samples: int = 0
    """How many of the newest samples in a row wanted more; 0 while any other counts."""
    down_samples: int = 0
    quiet: Quiet = NEVER_QUIET


def ray_serve_spec_for(function: FunctionSpec) -> RayServeSpec:
    """The rule's settings for a function; a batch at least should be in flight at a replica that batches."""
    return RayServeSpec(target_ongoing_requests=max(2.0, float(function.batch or 1)))


def initial_state(spec: RayServeSpec, seen: Observation, now_s: float) -> RayServeState:
    """The state of a function first looked at now."""
    return RayServeState(quiet=quiet_first(seen))


def decide(spec: RayServeSpec, seen: Observation, state: RayServeState, now_s: float) -> tuple[Decision, RayServeState]:
    """The number that was wanted for the whole delay, else the present one."""
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
        reason += f"; wanted for {max(up, down)} s by now"
    after = RayServeState(ongoing=ongoing, up_samples=up, down_samples=down, quiet=quiet)
    next_change_s = None if replicas == 0 else after_quiet_samples(1, now_s)
    return Decision(replicas=replicas, reason=reason, next_change_s=next_change_s), after
