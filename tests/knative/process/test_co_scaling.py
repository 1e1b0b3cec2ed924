"""What Knative adds to a co-scaling policy: activation scale, starts that are given up, the excess burst capacity."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dilu_autoscaler.knative.deciding.co_scaling import CoScalingSpec, CoScalingState, on_knative
from dilu_autoscaler.policy.horizontal import AveragedLoad, Averages, Bounds, Decision, Observation, Policy, Sample
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec

KPA = KpaSpec(target=1.0, total=10.0, target_burst_capacity=5.0, stable_window_s=10, activation_scale=3)
SPEC = CoScalingSpec(policy=None, kpa=KPA, bounds=Bounds())


def seconds(count: int, rps: float = 0.0) -> tuple[Sample, ...]:
    return tuple(Sample(t_s=float(at), concurrency=0.0, rps=rps) for at in range(count))


class Revision:
    """One revision, and what its policy says next."""

    def __init__(self, spec: CoScalingSpec = SPEC) -> None:
        self.spec = spec
        self.state: CoScalingState | None = None
        self.policy = on_knative(
            Policy(
                name="said",
                settings_for=lambda function: None,
                initial_state=lambda settings, seen, now_s: 0,
                decide=lambda settings, seen, state, now_s: (self.said, state + 1),
            )
        )

    def decide(self, replicas: int | None, seen: Observation) -> Decision:
        self.said = Decision(replicas=replicas, reason="load")
        if self.state is None:
            self.state = self.policy.initial_state(self.spec, seen, 0.0)
        decision, self.state = self.policy.decide(self.spec, seen, self.state, 0.0)
        return decision


ZERO = Observation(ready=0, desired=0)


def test_from_zero_the_activation_scale_holds_until_that_many_were_ready_at_once() -> None:
    revision = Revision()
    decision = revision.decide(1, ZERO)
    assert (decision.replicas, decision.reason) == (3, "activation scale 3 instead of 1: load")
    assert revision.decide(1, Observation(ready=2, starting=1, desired=3)).replicas == 3
    assert revision.decide(1, Observation(ready=3, desired=3)).replicas == 1
    assert revision.decide(1, Observation(ready=2, desired=3)).replicas == 1


@pytest.mark.parametrize(("replicas", "want"), [(0, 0), (3, 3), (7, 7), (None, None)])
def test_a_count_that_needs_no_activation_scale_stands(replicas: int | None, want: int | None) -> None:
    assert Revision().decide(replicas, ZERO) == Decision(replicas=want, reason="load")


def test_a_hold_keeps_the_activation_under_way() -> None:
    revision = Revision()
    revision.decide(1, ZERO)
    assert revision.decide(None, Observation(ready=1, starting=2, desired=3)).replicas is None
    assert revision.decide(1, Observation(ready=1, starting=2, desired=3)).replicas == 3


def test_the_activation_scale_stays_below_the_maximum() -> None:
    revision = Revision(replace(SPEC, bounds=Bounds(max_replicas=2)))
    assert revision.decide(1, ZERO).replicas == 2
    assert revision.decide(1, Observation(ready=2, desired=2)).replicas == 1


def test_a_minimum_that_lifts_it_from_zero_is_lifted_to_the_activation_scale() -> None:
    assert Revision(replace(SPEC, bounds=Bounds(min_replicas=2))).decide(None, ZERO).replicas == 3


STARTING = Observation(ready=0, starting=1, desired=1)


def test_a_start_may_be_given_up_after_a_window_without_a_request() -> None:
    revision = Revision()
    revision.decide(1, replace(ZERO, waiting=1))
    assert not revision.decide(1, replace(STARTING, waiting=1)).may_give_up
    assert not revision.decide(1, replace(STARTING, samples=seconds(9))).may_give_up
    assert revision.decide(1, replace(STARTING, samples=seconds(1))).may_give_up
    assert not revision.decide(1, replace(STARTING, samples=seconds(1, rps=1.0))).may_give_up


def test_a_start_of_which_nothing_was_heard_may_be_given_up() -> None:
    assert Revision().decide(1, STARTING).may_give_up


def test_once_it_was_given_up_the_count_is_zero_whatever_the_policy_wants() -> None:
    revision = Revision()
    assert revision.decide(1, STARTING).may_give_up
    decision = revision.decide(1, Observation(ready=0, desired=1))
    assert (decision.replicas, decision.reason) == (0, "0: the start was given up; else load")
    assert not decision.may_give_up


@pytest.mark.parametrize("seen", [Observation(ready=1, desired=1), Observation(ready=0, desired=1, waiting=1)])
def test_a_replica_that_came_after_all_or_a_request_that_waits_is_not_given_up(seen: Observation) -> None:
    revision = Revision(replace(SPEC, kpa=replace(KPA, activation_scale=0)))
    revision.decide(1, STARTING)
    decision = revision.decide(1, seen)
    assert (decision.replicas, decision.may_give_up) == (1, False)


def test_the_excess_burst_capacity_is_kpa_s_own_where_the_policy_has_none() -> None:
    load = AveragedLoad(averages=Averages(stable=1.0, panic=7.0), first_ready=2, first_s=0.0)
    seen = Observation(ready=2, desired=2, averaged=load)
    assert Revision().decide(2, seen).excess_burst_capacity == 2 * 10 - 5 - 7
    assert Revision().decide(2, replace(seen, averaged=None)).excess_burst_capacity is None


def test_the_policy_keeps_its_name_and_its_state() -> None:
    revision = Revision()
    for _ in range(3):
        revision.decide(None, ZERO)
    assert revision.state is not None
    assert (revision.policy.name, revision.state.policy) == ("said", 3)
