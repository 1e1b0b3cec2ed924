"""The sentence that explains a decision."""

from __future__ import annotations

import pytest

from dilu_autoscaler.explaining.decision_log import DecisionLog, DecisionOutcome
from dilu_autoscaler.explaining.sentence import sentence
from explaining.ticks import tick

KEY = "embed"


def test_without_a_decision_it_says_that_there_is_none() -> None:
    assert sentence(None) == "nothing decided yet"


@pytest.mark.parametrize(
    ("before", "decided", "failed", "text"),
    [
        (0, 1, False, "0 -> 1 replica: why"),
        (3, 0, False, "3 -> 0 replicas: why"),
        (2, 2, False, "2 replicas: why"),
        (2, None, False, "2 replicas: why"),
        (2, None, True, "2 replicas: why"),
        (None, None, False, "count unknown: why"),
    ],
)
def test_it_names_the_change_or_the_count_that_stays(
    before: int | None, decided: int | None, failed: bool, text: str
) -> None:
    log = DecisionLog()
    log.ticked(tick(KEY, before=before, decided=decided, failed=failed, reason="why"))
    assert sentence(log.last(KEY)) == text


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (DecisionOutcome(want=5, applied=True, reason="as decided"), "2 -> 5 replicas: why"),
        (DecisionOutcome(want=3, applied=True, reason="max-scale 3"), "2 -> 5 replicas: why; 3 by max-scale 3"),
        (DecisionOutcome(want=5, applied=False, reason="retention"), "2 -> 5 replicas: why; 5 soon: retention"),
        (DecisionOutcome(want=None, applied=False, reason="activating"), "2 -> 5 replicas: why; activating"),
    ],
)
def test_it_adds_an_outcome_that_differs_from_the_decision(outcome: DecisionOutcome, text: str) -> None:
    log = DecisionLog()
    log.ticked(tick(KEY, before=2, decided=5, reason="why"))
    log.reconciled(KEY, outcome, 0.0)
    assert sentence(log.last(KEY)) == text
