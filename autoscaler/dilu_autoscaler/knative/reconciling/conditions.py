"""The conditions of a PodAutoscaler, kept as Knative's own condition manager keeps them.

`Ready` follows from `Active`, `ScaleTargetInitialized` and `SKSReady`. A condition's time changes only where something
else of it does, and is in whole seconds. Source: the Knative contract, §1.5.
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
    """One condition as it stands in an object's status."""

    type: str
    status: str = UNKNOWN
    reason: str = ""
    message: str = ""
    severity: str = ""
    changed_s: float | None = None
    """Unix time of the last change (`lastTransitionTime`); None: not written yet."""

    def same_but_for_time(self, other: Condition) -> bool:
        """Whether both say the same."""
        return (
            self.status == other.status
            and self.reason == other.reason
            and self.message == other.message
            and self.severity == other.severity
            and self.type == other.type
        )


class Conditions:
    """The conditions of one status while it is being worked out: read once, marked, written once."""

    def __init__(self, stored: Iterable[Condition]) -> None:
        """`stored` are those of the object; missing ones become Unknown, or True beside a Ready that is True."""
        self._stored = {one.type: one for one in stored}
        self._now = dict(self._stored)
        self._order: dict[str, int] = {}  # by type: when it was last marked in this round; newer marks count more
        ready = self._now.setdefault(READY, Condition(type=READY))
        status = TRUE if ready.status == TRUE else UNKNOWN
        for kind in DEPENDENTS:
            self._now.setdefault(kind, Condition(type=kind, status=status))

    def __getitem__(self, kind: str) -> Condition:
        return self._now[kind]

    def status(self, kind: str) -> str:
        """`True`, `False` or `Unknown`."""
        return self._now[kind].status

    def in_status_s(self, kind: str, status: str, now_s: float) -> float:
        """For how long the stored condition has had that status; -1 where it has another."""
        stored = self._stored.get(kind)
        if stored is None or stored.status != status or stored.changed_s is None:
            return -1.0
        return now_s - stored.changed_s

    def mark_true(self, kind: str) -> None:
        """It holds; Ready follows the worst of the others."""
        self._set(Condition(type=kind, status=TRUE))
        worst = self._newest(FALSE) or self._newest(UNKNOWN)
        if worst is None:
            self._set(Condition(type=READY, status=TRUE))
        else:
            self._set(Condition(type=READY, status=worst.status, reason=worst.reason, message=worst.message))

    def mark_unknown(self, kind: str, reason: str, message: str) -> None:
        """It is not known yet; so is Ready, unless another condition is False."""
        self._set(Condition(type=kind, status=UNKNOWN, reason=reason, message=message))
        if any(self._now[other].status == FALSE for other in DEPENDENTS):
            if self._now[READY].status != FALSE:
                self._set(Condition(type=READY, status=FALSE, reason=reason, message=message))
        elif kind in DEPENDENTS:
            self._set(Condition(type=READY, status=UNKNOWN, reason=reason, message=message))

    def mark_false(self, kind: str, reason: str, message: str) -> None:
        """It does not hold, and so Ready does not."""
        self._set(Condition(type=kind, status=FALSE, reason=reason, message=message))
        self._set(Condition(type=READY, status=FALSE, reason=reason, message=message))

    def mark_new_generation(self) -> None:
        """The object has changed since it was last worked on: Ready is not known until something is marked."""
        self.mark_unknown(READY, "NewObservedGenFailure", "unsuccessfully observed a new generation")

    def written(self, now_s: float) -> tuple[Condition, ...]:
        """All conditions, by type, with the time of each: the stored one where nothing else of it differs."""
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
        """The dependent with that status that changed last: in this round, else by its stored time."""
        found = [self._now[kind] for kind in DEPENDENTS if self._now[kind].status == status]
        return max(found, key=self._age_key, default=None)

    def _age_key(self, condition: Condition) -> tuple[int, float]:
        return self._order.get(condition.type, 0), condition.changed_s or 0.0


def time_text(time_s: float) -> str:
    """RFC 3339 in whole seconds, as Kubernetes writes times.

    >>> time_text(0.9)
    '1970-01-01T00:00:00Z'
    """
    return datetime.fromtimestamp(int(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def time_s(text: str) -> float:
    """The Unix time that such a text says. Raises `ValueError` for another text.

    >>> time_s("1970-01-01T00:00:01Z")
    1.0
    """
    return datetime.fromisoformat(text).timestamp()


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
