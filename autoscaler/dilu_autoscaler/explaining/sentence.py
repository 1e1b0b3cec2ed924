"""The sentence that explains a decision."""

from __future__ import annotations

from dilu_autoscaler.explaining.decision_log import DecisionKind, DecisionOutcome, Entry

UNDECIDED = "nothing decided yet"


def sentence(entry: Entry | None) -> str:
    """Say what was decided, why, and what became of it.

    >>> from dilu_autoscaler.explaining.decision_log import Inputs
    >>> inputs = Inputs("5 for 9.00 in flight", 2, 0, 0, None, None, 9.0, 9.0, None)
    >>> outcome = DecisionOutcome(want=3, applied=True, reason="max-scale 3")
    >>> sentence(Entry(kind=DecisionKind.DECIDED, before=2, decided=5, panicking=False, first_s=0.0, last_s=0.0,
    ...     count=1, first=inputs, last=inputs, outcome=outcome))
    '2 -> 5 replicas: 5 for 9.00 in flight; 3 by max-scale 3'
    """
    if entry is None:
        return UNDECIDED
    text = f"{_change(entry)}: {entry.last.reason}"
    outcome = entry.outcome
    if outcome is None or (outcome.applied and outcome.want == entry.decided):
        return text
    return f"{text}; {_outcome(outcome)}"


def _change(entry: Entry) -> str:
    """Name the change of the count, or the count that stays."""
    if entry.decided is None:
        return "count unknown"
    count = f"{entry.decided} {'replica' if entry.decided == 1 else 'replicas'}"
    if entry.kind is not DecisionKind.DECIDED or entry.before in (None, entry.decided):
        return count
    return f"{entry.before} -> {count}"


def _outcome(outcome: DecisionOutcome) -> str:
    if outcome.want is None:
        return outcome.reason
    return f"{outcome.want} by {outcome.reason}" if outcome.applied else f"{outcome.want} soon: {outcome.reason}"
