"""Says in a few words what became of a decision, and why. Without running numbers: equal outcomes read alike."""

from __future__ import annotations

from dilu_autoscaler.knative.reconciling.conditions import ACTIVE, FALSE, SCALE_TARGET_INITIALIZED, TRUE
from dilu_autoscaler.knative.reconciling.plans import Plan, World


def outcome_reason(world: World, made: Plan) -> str:
    """What the number was turned into, and by which rule."""
    if made.error is not None:
        return made.error
    if world.desired < 0 and made.want < 0:
        return "nothing is decided yet"
    if made.want < 0:
        return "it is still being activated"
    if made.want == 0:
        return _to_zero(world, made)
    if made.want > world.desired:
        return _raised(world, made.want)
    if made.want < world.desired:
        return f"max-scale {made.want}"
    return "as decided"


def _raised(world: World, want: int) -> str:
    settings = world.settings
    if want == settings.initial and _status(world, SCALE_TARGET_INITIALIZED) != TRUE:
        return f"initial-scale {want}"
    if want == settings.least:
        return f"min-scale {want}"
    if not world.config.autoscaler.scale_to_zero:
        return "scale to zero is off"
    return f"the last one stays until it was active for a stable window ({settings.kpa.stable_window_s} s)"


def _to_zero(world: World, made: Plan) -> str:
    settings = world.settings
    if made.starts_probe:
        return "to zero once the activators are in the path"
    if _status(world, ACTIVE) != FALSE:
        return "to zero: the activators take over first"
    if made.again_after_s is None:
        return "at zero" if world.replicas == 0 else "to zero"
    if settings.retention_s > world.config.autoscaler.scale_to_zero_grace_s:
        return f"to zero after the retention period ({settings.retention_s:g} s)"
    return f"to zero after the grace period ({world.config.autoscaler.scale_to_zero_grace_s:g} s)"


def _status(world: World, kind: str) -> str:
    """What the stored condition says."""
    return next((one.status for one in world.pa.status.conditions if one.type == kind), "")
