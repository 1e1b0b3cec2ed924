"""Conditions between the form in which they are stored and the one in which they are worked out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dilu_autoscaler.knative.kube.objects import ConditionObject
from dilu_autoscaler.knative.reconciling.conditions import Condition, time_s, time_text


def find(conditions: Iterable[ConditionObject], kind: str) -> ConditionObject | None:
    """The condition of that type."""
    return next((one for one in conditions if one.type == kind), None)


def since_s(condition: ConditionObject) -> float | None:
    """The Unix time since when the condition has its status; None where that is not said, or not readable."""
    try:
        return None if condition.last_transition_time is None else time_s(condition.last_transition_time)
    except (ValueError, OverflowError):
        return None


def read(condition: ConditionObject) -> Condition:
    """A stored condition, to work on."""
    return Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        severity=condition.severity,
        changed_s=since_s(condition),
    )


def read_all(conditions: Iterable[ConditionObject]) -> dict[Condition, ConditionObject]:
    """All of a status, to work on, each with the object that it was read from."""
    return {read(one): one for one in conditions}


def stored_as(
    conditions: Iterable[Condition], before: Mapping[Condition, ConditionObject]
) -> tuple[ConditionObject, ...]:
    """The conditions as they are to be stored. What is as it was before is the same object."""
    return tuple(before.get(condition) or _stored(condition) for condition in conditions)


def _stored(condition: Condition) -> ConditionObject:
    return ConditionObject(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        severity=condition.severity,
        last_transition_time=None if condition.changed_s is None else time_text(condition.changed_s),
    )


def condition_json(condition: ConditionObject) -> dict[str, Any]:
    """A condition as JSON: type and status are always there, for the API asks for them; what is empty is not."""
    optional = {
        "reason": condition.reason,
        "message": condition.message,
        "severity": condition.severity,
        "lastTransitionTime": condition.last_transition_time,
    }
    return {"type": condition.type, "status": condition.status, **{key: text for key, text in optional.items() if text}}
