"""The last decisions on each revision, with what they were made from and what became of them.

Equal decisions in a row are one entry that counts them: an hour of "0 -> 0" is one line. What is kept is bounded: each
revision has at most `most_per_revision` entries, and all together `most_entries`, of which with many revisions each
has its share.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from dilu_autoscaler.knative.reconciling.conditions import ACTIVE, FALSE, SCALE_TARGET_INITIALIZED, TRUE
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView
from dilu_autoscaler.loop import Tick

MOST_PER_REVISION: Final = 50
MOST_ENTRIES: Final = 50_000
LONGEST_TEXT: Final = 400
"""Characters of a reason: an error's text can be of any length."""
_SHARED_OUT: Final = 0.9  # after a clearing, so that the next one is not due at once


class DecisionKind(StrEnum):
    """What sort of decision it was."""

    DECIDED = "decided"
    NO_DATA = "no-data"  # held, for nothing is known
    FAILED = "failed"  # held, for a part of ours raised


class Inputs(NamedTuple):
    """What one decision was made from, and its reason. None: not known, or the policy has no such thing."""

    reason: str
    ready: int | None
    starting: int | None
    waiting: int | None
    capacity_rps: float | None
    stable: float | None
    panic: float | None
    excess_burst_capacity: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionOutcome:
    """What was made of a decision: bounds, the way to zero, and what the Deployment was given."""

    want: int  # after the bounds; -1: not known
    applied: bool  # the Deployment has that number, or was given it
    reason: str
    """One line for people, such as "retention 30 s". Without running numbers: equal ones are one entry."""


@dataclass(slots=True, kw_only=True)
class Entry:
    """A run of equal decisions."""

    kind: DecisionKind
    before: int | None  # desired until then; None: not known
    decided: int | None  # what is desired since then; None: not known
    panicking: bool
    first_s: float  # Unix seconds
    last_s: float
    count: int
    first: Inputs
    last: Inputs
    outcome: DecisionOutcome | None  # None: nobody has looked at the decision yet

    def to_json(self) -> dict[str, Any]:
        """The entry as plain values that JSON has."""
        return {
            "first_s": self.first_s,
            "last_s": self.last_s,
            "count": self.count,
            "kind": self.kind.value,
            "before": self.before,
            "decided": self.decided,
            "panicking": self.panicking,
            "first": _inputs_json(self.first),
            "last": _inputs_json(self.last),
            "outcome": None if self.outcome is None else _outcome_json(self.outcome),
        }


class DecisionLog:
    """The decisions on all revisions. Not thread-safe: one owner makes all calls."""

    def __init__(self, *, most_per_revision: int = MOST_PER_REVISION, most_entries: int = MOST_ENTRIES) -> None:
        self._most_per_revision = max(1, most_per_revision)
        self._most_entries = max(1, most_entries)
        self._revisions: dict[str, deque[Entry]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ticked(
        self,
        tick: Tick,
        *,
        stable: float | None = None,
        panic: float | None = None,
        excess_burst_capacity: int | None = None,
    ) -> None:
        """Take in a decision; with KPA's averages and excess burst capacity, where the policy does not say them."""
        decision, seen = tick.decision, tick.seen
        before = None if seen is None else seen.desired
        decided = before if decision.replicas is None else decision.replicas
        kind = DecisionKind.FAILED if tick.failed else DecisionKind.NO_DATA if seen is None else DecisionKind.DECIDED
        inputs = _inputs_of(tick, stable, panic, excess_burst_capacity)
        newest = self.last(tick.function)
        if (
            newest is not None
            and newest.decided == decided
            and newest.before == before
            and newest.kind is kind
            and newest.panicking == decision.panicking
        ):
            newest.count += 1
            newest.last_s = tick.now_s
            newest.last = inputs
            return
        # The reconciler looks again only if the number is another one.
        is_settled = newest is not None and decided in (None, newest.decided)
        entry = Entry(
            kind=kind,
            before=before,
            decided=decided,
            panicking=decision.panicking,
            first_s=tick.now_s,
            last_s=tick.now_s,
            count=1,
            first=inputs,
            last=inputs,
            outcome=newest.outcome if newest is not None and is_settled else None,
        )
        self._append(tick.function, entry)

    def reconciled(self, key: str, outcome: DecisionOutcome, now_s: float) -> None:
        """Say what became of the newest decision. Another outcome than so far begins an entry of its own.

        Ignored where nothing was decided yet.
        """
        newest = self.last(key)
        if newest is None:
            return
        outcome = DecisionOutcome(want=outcome.want, applied=outcome.applied, reason=_shortened(outcome.reason))
        if newest.outcome is None:
            newest.outcome = outcome
        elif newest.outcome != outcome:
            entry = Entry(
                kind=newest.kind,
                before=newest.decided,
                decided=newest.decided,
                panicking=newest.panicking,
                first_s=now_s,
                last_s=now_s,
                count=0,  # no new decision
                first=newest.last,
                last=newest.last,
                outcome=outcome,
            )
            self._append(key, entry)

    def entries(self, key: str) -> list[Entry]:
        """What is kept of a revision, the oldest first."""
        return list(self._revisions.get(key, ()))

    def last(self, key: str) -> Entry | None:
        """The newest entry of a revision."""
        entries = self._revisions.get(key)
        return entries[-1] if entries else None

    def keys(self) -> Iterable[str]:
        """The revisions on which something was decided."""
        return self._revisions.keys()

    def forget(self, key: str) -> None:
        """Keep nothing more of a revision. Unknown ones are ignored."""
        self._count -= len(self._revisions.pop(key, ()))

    def _append(self, key: str, entry: Entry) -> None:
        entries = self._revisions.get(key)
        if entries is None:
            entries = self._revisions[key] = deque()
        entries.append(entry)
        self._count += 1
        while len(entries) > self._most_per_revision:
            entries.popleft()
            self._count -= 1
        if self._count > self._most_entries:
            self._share_out()

    def _share_out(self) -> None:
        """Leave each revision its share, at least its newest entry."""
        share = max(1, math.floor(self._most_entries * _SHARED_OUT / len(self._revisions)))
        for entries in self._revisions.values():
            while len(entries) > share:
                entries.popleft()
                self._count -= 1


def _inputs_of(tick: Tick, stable: float | None, panic: float | None, excess: int | None) -> Inputs:
    decision, seen = tick.decision, tick.seen
    return Inputs(
        _shortened(decision.reason),
        None if seen is None else seen.ready,
        None if seen is None else seen.starting,
        None if seen is None else seen.waiting,
        None if seen is None else seen.capacity_rps,
        decision.stable if stable is None else stable,
        decision.panic if panic is None else panic,
        decision.excess_burst_capacity if excess is None else excess,
    )


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


def _inputs_json(inputs: Inputs) -> dict[str, Any]:
    return {name: _finite(value) for name, value in inputs._asdict().items()}


def _outcome_json(outcome: DecisionOutcome) -> dict[str, Any]:
    return {"want": outcome.want, "applied": outcome.applied, "reason": outcome.reason}


def _finite(value: Any) -> Any:
    """JSON has no infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def outcome_reason(world: RevisionView, made: RevisionPlan) -> str:
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


def _raised(world: RevisionView, want: int) -> str:
    settings = world.settings
    if want == settings.initial and _status(world, SCALE_TARGET_INITIALIZED) != TRUE:
        return f"initial-scale {want}"
    if want == settings.least:
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
    """What the stored condition says."""
    return next((one.status for one in world.pa.status.conditions if one.type == kind), "")
