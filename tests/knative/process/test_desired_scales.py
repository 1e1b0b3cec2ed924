"""The actuator on Knative: what it records of a decision, and which decisions wake the reconciler."""

from __future__ import annotations

import pytest

from dilu_autoscaler.knative.deciding.desired_scales import DesiredScale, DesiredScales
from dilu_autoscaler.policy.horizontal import Decision

KEY = "ns/rev"


class Recorded:
    """An actuator with one revision, and whom it woke."""

    def __init__(self) -> None:
        self.woken: list[str] = []
        self.scales = DesiredScales(self.woken.append)
        self.scales.add(KEY, excess_burst_capacity=-10)

    def apply(self, replicas: int | None = None, excess: int | None = None, *, may_give_up: bool = False) -> None:
        decision = Decision(replicas=replicas, reason="", excess_burst_capacity=excess, may_give_up=may_give_up)
        self.scales.apply(KEY, decision)


def test_before_the_first_decision_no_count_is_known() -> None:
    recorded = Recorded()
    assert recorded.scales.of(KEY) == DesiredScale(replicas=None, excess_burst_capacity=-10)
    assert recorded.scales.desired(KEY) is None
    assert list(recorded.scales) == [KEY]


def test_what_a_decision_leaves_open_stays_as_it_was() -> None:
    recorded = Recorded()
    recorded.apply(4, 3)
    recorded.apply(None, 2, may_give_up=True)
    assert recorded.scales.of(KEY) == DesiredScale(replicas=4, excess_burst_capacity=2, may_give_up=True)
    recorded.apply(5)
    assert recorded.scales.of(KEY) == DesiredScale(replicas=5, excess_burst_capacity=2)


@pytest.mark.parametrize(
    ("replicas", "excess", "may_give_up", "wakes"),
    [
        pytest.param(4, 3, False, False, id="nothing new"),
        pytest.param(4, 0, False, False, id="less excess, the same way"),
        pytest.param(4, -1, False, True, id="excess below zero"),
        pytest.param(None, -1, False, True, id="excess below zero while the count is held"),
        pytest.param(5, 3, False, True, id="another count"),
        pytest.param(0, 3, False, True, id="zero is a count"),
        pytest.param(4, 3, True, True, id="may be given up"),
    ],
)
def test_the_reconciler_is_woken_when_it_has_something_to_do(
    replicas: int | None, excess: int, may_give_up: bool, wakes: bool
) -> None:
    recorded = Recorded()
    recorded.apply(4, 3)
    recorded.woken.clear()
    recorded.apply(replicas, excess, may_give_up=may_give_up)
    assert recorded.woken == [KEY] * wakes


def test_a_revision_that_was_forgotten_records_nothing() -> None:
    recorded = Recorded()
    recorded.scales.forget(KEY)
    recorded.scales.forget(KEY)
    recorded.apply(4, 3)
    assert (recorded.scales.of(KEY), recorded.woken, KEY in recorded.scales) == (None, [], False)
