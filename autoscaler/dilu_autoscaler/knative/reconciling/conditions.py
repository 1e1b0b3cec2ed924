"""The conditions of a PodAutoscaler, kept as Knative's own condition manager keeps them.

`Ready` follows from `Active`, `ScaleTargetInitialized` and `SKSReady`. A condition's time changes only with another of
its fields, and is in whole seconds. A `Condition` has its time as a number; a `ConditionObject` is its stored form.
Source: the Knative contract, §1.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from dilu_kube.objects import ConditionObject

READY: Final = "Ready"
ACTIVE: Final = "Active"
SCALE_TARGET_INITIALIZED: Final = "ScaleTargetInitialized"
SKS_READY: Final = "SKSReady"
DEPENDENTS: Final = (ACTIVE, SCALE_TARGET_INITIALIZED, SKS_READY)

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One condition, with its time as a number."""

    type: str
    status: str = UNKNOWN
    reason: str = ""
    message: str = ""
    severity: str = ""
    changed_s: float | None = None
    """Unix time of the last change (`lastTransitionTime`); None: not written yet."""

    def same_but_for_time(self, other: Condition) -> bool:
        """Return whether both are equal except for their times."""
        return (
            self.status == other.status
            and self.reason == other.reason
            and self.message == other.message
            and self.severity == other.severity
            and self.type == other.type
        )


class Conditions:
    """The conditions of one status during one reconciliation: read once, marked, written once."""

    def __init__(self, stored: Iterable[Condition]) -> None:
        """Start from the object's conditions. Missing ones become Unknown, or True if Ready is True."""
        self._stored = {one.type: one for one in stored}
        self._now = dict(self._stored)
        self._order: dict[str, int] = {}  # by type: the order of marks in this reconciliation
        ready = self._now.setdefault(READY, Condition(type=READY))
        status = TRUE if ready.status == TRUE else UNKNOWN
        for kind in DEPENDENTS:
            self._now.setdefault(kind, Condition(type=kind, status=status))

    def __getitem__(self, kind: str) -> Condition:
        return self._now[kind]

    def status(self, kind: str) -> str:
        """Return `True`, `False` or `Unknown`."""
        return self._now[kind].status

    def in_status_s(self, kind: str, status: str, now_s: float) -> float:
        """Return for how long the stored condition has had a status; -1 if it has another."""
        stored = self._stored.get(kind)
        if stored is None or stored.status != status or stored.changed_s is None:
            return -1.0
        return now_s - stored.changed_s

    def mark_true(self, kind: str) -> None:
        """Mark a condition True; Ready follows the worst of the others."""
        self._set(Condition(type=kind, status=TRUE))
        worst = self._newest(FALSE) or self._newest(UNKNOWN)
        if worst is None:
            self._set(Condition(type=READY, status=TRUE))
        else:
            self._set(Condition(type=READY, status=worst.status, reason=worst.reason, message=worst.message))

    def mark_unknown(self, kind: str, reason: str, message: str) -> None:
        """Mark a condition Unknown; and Ready, unless another condition is False."""
        self._set(Condition(type=kind, status=UNKNOWN, reason=reason, message=message))
        if any(self._now[other].status == FALSE for other in DEPENDENTS):
            if self._now[READY].status != FALSE:
                self._set(Condition(type=READY, status=FALSE, reason=reason, message=message))
        elif kind in DEPENDENTS:
            self._set(Condition(type=READY, status=UNKNOWN, reason=reason, message=message))

    def mark_false(self, kind: str, reason: str, message: str) -> None:
        """Mark a condition False, and Ready."""
        self._set(Condition(type=kind, status=FALSE, reason=reason, message=message))
        self._set(Condition(type=READY, status=FALSE, reason=reason, message=message))

    def mark_new_generation(self) -> None:
        """Mark Ready Unknown: the object changed since the last reconciliation."""
        self.mark_unknown(READY, "NewObservedGenFailure", "unsuccessfully observed a new generation")

    def written(self, now_s: float) -> tuple[Condition, ...]:
        """Return all conditions by type. An unchanged one keeps its stored time."""
        time_s = float(int(now_s))
        return tuple(self._timed(self._now[kind], time_s) for kind in sorted(self._now))

    def _timed(self, condition: Condition, time_s: float) -> Condition:
        stored = self._stored.get(condition.type)
        if stored is not None and stored.changed_s is not None and stored.same_but_for_time(condition):
            return stored
        return replace(condition, changed_s=time_s)

    def _set(self, condition: Condition) -> None:
        before = self._now.get(condition.type)
        if before is None or not before.same_but_for_time(condition):
            self._order[condition.type] = len(self._order) + 1
            self._now[condition.type] = condition

    def _newest(self, status: str) -> Condition | None:
        """Return the dependent with a status that changed last: in this reconciliation, else by its stored time."""
        found = [self._now[kind] for kind in DEPENDENTS if self._now[kind].status == status]
        return max(found, key=self._age_key, default=None)

    def _age_key(self, condition: Condition) -> tuple[int, float]:
        return self._order.get(condition.type, 0), condition.changed_s or 0.0


def time_text(time_s: float) -> str:
    """Return a time as Kubernetes writes it: RFC 3339 in whole seconds.

    >>> time_text(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_s(text: str) -> float:
    """Return the Unix time of such a text. Raises `ValueError` for another text.

    >>> time_s("1970-01-01T00:00:01Z")
    1.0
    """
    return datetime.fromisoformat(text).timestamp()


def find(conditions: Iterable[ConditionObject], kind: str) -> ConditionObject | None:
    """Return the condition of a type."""
    return next((one for one in conditions if one.type == kind), None)


def since_s(condition: ConditionObject) -> float | None:
    """Return the Unix time of the condition's last change; None if it is missing or unreadable."""
    try:
        return None if condition.last_transition_time is None else time_s(condition.last_transition_time)
    except (ValueError, OverflowError):
        return None


def read(condition: ConditionObject) -> Condition:
    """Return a stored condition as a `Condition`."""
    return Condition(
        type=condition.type,
        status=condition.status,
        reason=condition.reason,
        message=condition.message,
        severity=condition.severity,
        changed_s=since_s(condition),
    )


def read_all(conditions: Iterable[ConditionObject]) -> dict[Condition, ConditionObject]:
    """Return all conditions of a status, each with the object that it was read from."""
    return {read(one): one for one in conditions}


def stored_as(
    conditions: Iterable[Condition], before: Mapping[Condition, ConditionObject]
) -> tuple[ConditionObject, ...]:
    """Return conditions in their stored form. Unchanged ones are the objects of before."""
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
    """Return a condition as JSON: type and status always, as the API requires them; other fields unless empty."""
    optional = {
        "reason": condition.reason,
        "message": condition.message,
        "severity": condition.severity,
        "lastTransitionTime": condition.last_transition_time,
    }
    return {"type": condition.type, "status": condition.status, **{key: text for key, text in optional.items() if text}}
