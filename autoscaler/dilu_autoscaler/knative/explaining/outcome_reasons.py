"""The reason why a PodAutoscaler's replica count is what it is, given what was decided."""

from __future__ import annotations

from dilu_autoscaler.knative.reconciling.conditions import ACTIVE, FALSE, SCALE_TARGET_INITIALIZED, TRUE
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView


def outcome_reason(world: RevisionView, made: RevisionPlan) -> str:
    """Name the rule that turned the decision into the replica count of the plan."""
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


def _raised(world: RevisionView, want: int) -> str:
    settings = world.settings
    if want == settings.initial_scale and _status(world, SCALE_TARGET_INITIALIZED) != TRUE:
        return f"initial-scale {want}"
    if want == settings.min_scale:
        return f"min-scale {want}"
    if not world.config.autoscaler.scale_to_zero:
        return "scale to zero is off"
    return f"the last one stays until it was active for a stable window ({settings.kpa.stable_window_s} s)"


def _to_zero(world: RevisionView, made: RevisionPlan) -> str:
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


def _status(world: RevisionView, kind: str) -> str:
    """Return the status of a stored condition, or "" if there is none."""
    return next((one.status for one in world.pa.status.conditions if one.type == kind), "")
