"""A number that was only just raised, whatever the policy."""

from __future__ import annotations

import pytest

from dilu_autoscaler.anti_flap import steady
from dilu_autoscaler.policy.horizontal import Decision, Observation, Sample

SEEN = Observation(ready=1, desired=2)


def test_a_number_raised_just_now_is_not_lowered_without_a_sample() -> None:
    decision = steady(Decision(replicas=1, reason="0.00 in flight"), SEEN, raised_s=100.0, now_s=100.25)
    assert decision == Decision(
        replicas=None,
        reason="hold: the count was raised 0.25 s ago, without a sample since; held back: 0.00 in flight",
        next_change_s=101.0,
    )


@pytest.mark.parametrize("replicas", [None, 2, 3])
def test_a_number_that_is_not_lower_stands(replicas: int | None) -> None:
    decided = Decision(replicas=replicas, reason="load")
    assert steady(decided, SEEN, raised_s=100.0, now_s=100.25) is decided


@pytest.mark.parametrize("raised_s", [None, 99.25, 3.0])
def test_a_second_later_it_may_be_lowered(raised_s: float | None) -> None:
    decided = Decision(replicas=0, reason="load")
    assert steady(decided, SEEN, raised_s=raised_s, now_s=100.25) is decided


def test_a_new_sample_may_lower_it_at_once() -> None:
    seen = Observation(samples=(Sample(t_s=99.0, concurrency=0.0, rps=0.0),), ready=2, desired=2)
    decided = Decision(replicas=1, reason="load")
    assert steady(decided, seen, raised_s=100.0, now_s=100.25) is decided


def test_when_it_is_looked_at_again_it_is_over_to_the_last_bit() -> None:
    raised_s = 0.1 + 0.2
    held = steady(Decision(replicas=1, reason=""), SEEN, raised_s=raised_s, now_s=raised_s)
    assert held.next_change_s is not None
    decided = Decision(replicas=1, reason="")
    assert steady(decided, SEEN, raised_s=raised_s, now_s=held.next_change_s) is decided
