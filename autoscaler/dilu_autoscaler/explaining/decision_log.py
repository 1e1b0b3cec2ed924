"""The last decisions on each function, with their inputs and their outcome.

Equal decisions in a row are one entry with a count: an hour of "0 -> 0" is one entry. Memory is bounded: each function
keeps at most `max_per_function` entries, and all functions together `max_entries`, which they then share equally.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from dilu_autoscaler.loop import Tick

MAX_PER_FUNCTION: Final = 50
MAX_ENTRIES: Final = 50_000
MAX_TEXT: Final = 400
"""Characters of a reason: the text of an exception can be of any length."""
_FILL_AFTER_TRIM: Final = 0.9  # so that the next entry does not start another trim


class DecisionKind(StrEnum):
    """How a decision came about."""

    DECIDED = "decided"
    NO_DATA = "no-data"  # held: the source knew nothing of the function
    FAILED = "failed"  # held: the source, the policy or the actuator raised


class Inputs(msgspec.Struct, frozen=True):
    """The inputs of one decision, and its reason. None: not known, or not used by the policy."""

    reason: str
    ready: int | None
    starting: int | None
    waiting: int | None
    learned_rps: float | None
    grantable_rps: float | None
    stable: float | None
    panic: float | None
    excess_burst_capacity: int | None


class DecisionOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a decision after bounds and the rules of scaling to and from zero."""

    want: int | None
    """Replicas after all rules. None: not known yet."""
    applied: bool
    """Whether the platform has this count, or was told to have it."""
    reason: str
    """One line for people, such as "to zero after the grace period (30 s)". It holds no running number, because equal
    outcomes share an entry."""


class Entry(msgspec.Struct, kw_only=True):
    """A run of equal decisions."""

    kind: DecisionKind
    before: int | None
    """Replicas desired before the decision. None: not known."""
    decided: int | None
    """Replicas desired since the decision. None: not known."""
    panicking: bool
    first_s: float
    """Unix time of the first decision of the run."""
    last_s: float
    """Unix time of the newest decision of the run."""
    count: int
    first: Inputs
    last: Inputs
    outcome: DecisionOutcome | None
    """None: the decision was not acted on yet."""

    def continues_with(self, kind: DecisionKind, before: int | None, decided: int | None, panicking: bool) -> bool:
        """Return whether a decision equals those of this run."""
        return (self.decided, self.before, self.panicking) == (decided, before, panicking) and self.kind is kind


class DecisionLog:
    """The decisions on all functions. Not thread-safe: one owner makes all calls."""

    def __init__(self, *, max_per_function: int = MAX_PER_FUNCTION, max_entries: int = MAX_ENTRIES) -> None:
        self._max_per_function = max(1, max_per_function)
        self._max_entries = max(1, max_entries)
        self._functions: dict[str, deque[Entry]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def ticked(
        self,
        tick: Tick,
        *,
        unix_s: float | None = None,
        stable: float | None = None,
        panic: float | None = None,
        excess_burst_capacity: int | None = None,
    ) -> None:
        """Record a decision.

        `unix_s` is its time where the loop's clock does not count Unix time. The others are KPA's averages and its
        excess burst capacity, for a policy that does not compute them itself.
        """
        decision, seen = tick.decision, tick.seen
        at_s = tick.now_s if unix_s is None else unix_s
        before = None if seen is None else seen.desired
        decided = before if decision.replicas is None else decision.replicas
        kind = DecisionKind.FAILED if tick.failed else DecisionKind.NO_DATA if seen is None else DecisionKind.DECIDED
        inputs = _inputs_of(tick, stable, panic, excess_burst_capacity)
        newest = self.last(tick.function)
        if newest is not None and newest.continues_with(kind, before, decided, decision.panicking):
            newest.count += 1
            newest.last_s = at_s
            newest.last = inputs
            return
        # The outcome still holds if the count is the same: it is acted on only when the count changes.
        keeps_outcome = newest is not None and decided in (None, newest.decided)
        entry = Entry(
            kind=kind,
            before=before,
            decided=decided,
            panicking=decision.panicking,
            first_s=at_s,
            last_s=at_s,
            count=1,
            first=inputs,
            last=inputs,
            outcome=newest.outcome if newest is not None and keeps_outcome else None,
        )
        self._append(tick.function, entry)

    def reconciled(self, function: str, outcome: DecisionOutcome, unix_s: float) -> None:
        """Record the outcome of the newest decision; a changed outcome starts an entry of its own.

        Without any decision on the function, the outcome is ignored.
        """
        newest = self.last(function)
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
                first_s=unix_s,
                last_s=unix_s,
                count=0,  # no new decision
                first=newest.last,
                last=newest.last,
                outcome=outcome,
            )
            self._append(function, entry)

    def entries(self, function: str) -> list[Entry]:
        """Return the entries of a function, oldest first."""
        return list(self._functions.get(function, ()))

    def last(self, function: str) -> Entry | None:
        """Return the newest entry of a function."""
        entries = self._functions.get(function)
        return entries[-1] if entries else None

    def keys(self) -> Iterable[str]:
        """Return the functions that have entries."""
        return self._functions.keys()

    def forget(self, function: str) -> None:
        """Drop all entries of a function. Unknown names are ignored."""
        self._count -= len(self._functions.pop(function, ()))

    def _append(self, function: str, entry: Entry) -> None:
        entries = self._functions.get(function)
        if entries is None:
            entries = self._functions[function] = deque()
        entries.append(entry)
        self._count += 1
        while len(entries) > self._max_per_function:
            entries.popleft()
            self._count -= 1
        if self._count > self._max_entries:
            self._trim()

    def _trim(self) -> None:
        """Cut every function to an equal share of the entries, but keep its newest one."""
        share = max(1, math.floor(self._max_entries * _FILL_AFTER_TRIM / len(self._functions)))
        for entries in self._functions.values():
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
        None if seen is None else seen.learned_rps,
        None if seen is None else seen.grantable_rps,
        decision.stable if stable is None else stable,
        decision.panic if panic is None else panic,
        decision.excess_burst_capacity if excess is None else excess,
    )


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
