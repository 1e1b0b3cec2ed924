"""What a user of `dilu-target` is promised, on loads and functions that are drawn."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dilu_autoscaler.policy.horizontal import Decision, Observation, Sample, policy_named
from dilu_autoscaler.policy.horizontal.dilu_target import rule
from dilu_autoscaler.policy.horizontal.dilu_target.settings import TargetSettings
from policy.flow_world import Function, Second, World, arrivals, need, poisson, scaled, with_target

DECIDED_WITHIN_S = 5
CLEARLY = 1.25
"""A step by a quarter shows above the noise of Poisson arrivals within seconds at the rates that are drawn here."""

functions = st.builds(
    Function,
    replica_rps=st.sampled_from([10.0, 20.0, 56.0, 200.0]),
    slo_s=st.sampled_from([0.5, 1.0, 2.0]),
    batch=st.sampled_from([1, 4]),
    cold_start_s=st.sampled_from([1, 5, 10, 30, 120, 600]),
    refuses=st.booleans(),
)
targets = st.sampled_from([0.9, 0.95, 0.98, 0.99])
seeds = st.integers(0, 2**32)


@st.composite
def steps(draw: st.DrawFn) -> tuple[Function, float, float]:
    """A function, its load in replicas, and the load after a step up by at most a hundred times."""
    function = draw(functions)
    assume(function.batch / function.replica_rps <= function.slo_s / 2)
    low = draw(st.floats(0.3, 3.0))
    return function, low, min(100.0, low * draw(st.floats(CLEARLY, 100.0)))


@settings(max_examples=25)
@given(step=steps(), target=targets, seed=seeds)
def test_constant_load_gets_what_it_needs_within_a_cold_start_and_five_seconds(
    step: tuple[Function, float, float], target: float, seed: int
) -> None:
    function, low, high = step
    function = replace(function, annotated_rps=function.replica_rps)
    low_rps, high_rps = low * function.replica_rps, high * function.replica_rps
    wanted = need(function, 0.95 * high_rps, target, seed)  # the last 5 % are told from noise later
    lasts_s = function.cold_start_s + 240
    log = scaled(
        with_target(target), World(function, ready=math.ceil(low)), arrivals(seed, (60, low_rps), (lasts_s, high_rps))
    )
    reached = next(
        at_s for at_s, second in enumerate(log[60:]) if second.ready >= wanted or _meets(log, 60 + at_s, target)
    )
    assert reached <= function.cold_start_s + DECIDED_WITHIN_S, log[60 + reached].reason
    if function.refuses:  # a queue that has grown meanwhile is late for longer
        after = log[60 + function.cold_start_s + 10 :]
        assert _missed(after) <= 1 - target + 0.01


def _meets(log: list[Second], at_s: int, target: float) -> bool:
    """Whether fewer replicas do as well there: the need is the least of a run, and runs differ."""
    return at_s > 60 + 10 and _missed(log[at_s : at_s + 60]) <= 1 - target and log[at_s].ready >= log[at_s].replicas


def _missed(log: list[Second]) -> float:
    return sum(second.miss_ratio for second in log) / len(log)


def test_the_papers_rule_does_not_keep_that_promise() -> None:
    function = Function(cold_start_s=120)
    ours = scaled(with_target(0.98), World(function), arrivals(1, (60, 5.0), (300, 77.6)))
    theirs = scaled(policy_named("dilu-paper"), World(function), arrivals(1, (60, 5.0), (300, 77.6)))
    assert ours[60 + 125].ready >= 8
    assert theirs[60 + 125].ready < 8


@pytest.mark.parametrize("replica_rps", [10.0, 56.0, 200.0])
def test_constant_load_changes_the_number_once_in_ten_minutes_at_most(replica_rps: float) -> None:
    rng, changes, minutes = Random(7), 0, 0.0
    for seed in range(12):
        function = Function(replica_rps=replica_rps, annotated_rps=replica_rps)
        load_rps = rng.uniform(1.0, 12.0) * replica_rps
        log = scaled(with_target(0.98), World(function, ready=12), arrivals(seed, (1500, load_rps)))[300:]
        changes += sum(one.replicas != other.replicas for one, other in pairwise(log))
        minutes += len(log) / 60
    assert changes / minutes <= 0.1


@pytest.mark.parametrize("cold_start_s", [5, 30])
def test_a_higher_target_misses_no_more_and_costs_no_less(cold_start_s: int) -> None:
    def outcome(target: float) -> tuple[float, float]:
        missed, replica_s = 0.0, 0.0
        for seed in range(6):
            rng = Random(seed)
            parts = [(rng.randint(5, 60), 10 * rng.choice([0.5, 1.5, 3.0, 5.0])) for _ in range(40)]
            world = World(Function(cold_start_s=cold_start_s))
            scaled(with_target(target), world, arrivals(seed, *parts))
            missed, replica_s = missed + world.miss_ratio, replica_s + world.replica_s
        return missed, replica_s

    outcomes = [outcome(target) for target in (0.9, 0.95, 0.98, 0.99)]
    for lower, higher in pairwise(outcomes):
        assert higher[0] <= lower[0] * 1.03 + 0.003
        assert higher[1] >= lower[1] * 0.97


@settings(max_examples=25)
@given(
    clients=st.integers(20, 500),
    function=functions,
    says=st.sampled_from([0.2, 1.0, 5.0, None]),
    reports=st.booleans(),
)
def test_clients_that_wait_for_their_answers_get_what_they_need(
    clients: int, function: Function, says: float | None, reports: bool
) -> None:
    function = replace(
        function,
        cold_start_s=min(30, function.cold_start_s),
        annotated_rps=None if says is None else says * function.replica_rps,
        reports_throughput=reports,
        refuses=False,
    )
    assume(function.batch / function.replica_rps <= function.slo_s / 3)
    wanted = math.ceil(clients / (function.replica_rps * function.slo_s) - 1e-9)
    lasts_s = 60 + 10 * (function.cold_start_s + 6)
    log = scaled(with_target(0.98), World(function), [lambda world, at_s: world.closed_second(at_s, clients)] * lasts_s)
    assert log[-1].ready >= wanted, log[-1].reason


@settings(max_examples=20)
@given(says=st.sampled_from([0.2, 0.5, 2.0, 5.0, None]), refuses=st.booleans(), load=st.floats(2.0, 20.0), seed=seeds)
def test_a_wrong_annotation_costs_half_a_minute_at_most(
    says: float | None, refuses: bool, load: float, seed: int
) -> None:
    function = Function(annotated_rps=None if says is None else says * 10, reports_throughput=False, refuses=refuses)
    log = scaled(with_target(0.98), World(function), arrivals(seed, (30, 5.0), (200, load * 10)))
    at_s = 30 + 30 + function.cold_start_s + DECIDED_WITHIN_S
    assert log[at_s].ready >= math.floor(load), log[at_s].reason
    assert _missed(log[at_s + 30 :]) < 0.1 or not refuses


@pytest.mark.parametrize(("every_s", "is_warm"), [(60, True), (450, True), (600, False), (3000, False)])
def test_rare_requests_find_a_replica_as_long_as_the_target_is_worth_it(every_s: int, is_warm: bool) -> None:
    function = Function(cold_start_s=10, refuses=False)  # worth it up to 10 s / 0.02 = 500 s
    lone = [1.0 if at_s % every_s == 0 else 0.0 for at_s in range(6 * every_s)]
    world = World(function, ready=0)
    log = scaled(with_target(0.98), world, [lambda world, at_s: world.second(at_s, lone[at_s])] * len(lone))
    found = [log[at_s].ready > 0 for at_s in range(every_s, len(log), every_s)]
    assert found[1:] == [is_warm] * len(found[1:])
    if not is_warm:
        assert any("the target is given up where requests are over 500 s apart" in second.reason for second in log)
        assert sum(second.replicas == 0 for second in log[2 * every_s :]) > 0.8 * len(log[2 * every_s :])


def test_it_goes_to_zero_and_comes_from_zero_at_once() -> None:
    function = Function(cold_start_s=5, refuses=False)
    quiet_s = 600
    steps = [*arrivals(3, (120, 25.0), (quiet_s, 0.0)), *[lambda world, at_s: world.second(at_s, 30.0)] * 20]
    log = scaled(with_target(0.98), World(function), steps)
    assert log[120 + quiet_s - 1].replicas == 0
    assert log[120 + quiet_s + 1].replicas >= 1
    assert log[120 + quiet_s + 12].ready >= 3


def test_no_sample_is_not_zero_load() -> None:
    state = rule.initial_state(TargetSettings(rps_limit=10.0), Observation(ready=3, desired=3), 0.0)
    decision, _ = rule.decide(TargetSettings(rps_limit=10.0), Observation(ready=3, desired=3), state, 1.0)
    assert decision == Decision(replicas=None, reason="hold: no new sample", next_change_s=2.0)


def test_after_a_restart_nothing_shrinks_below_the_need_and_nothing_storms() -> None:
    function = Function()
    world = World(function, ready=9)
    log = scaled(with_target(0.98), world, arrivals(5, (120, 77.0)))
    assert min(second.replicas for second in log) >= 8
    assert max(second.replicas for second in log) <= 16


@settings(max_examples=40)
@given(
    seconds=st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6), st.none() | st.floats(0, 1e6)), max_size=30),
    clock=st.lists(st.floats(-1e9, 1e9), min_size=30, max_size=30),
    ready=st.integers(0, 50),
    cold=st.integers(0, 50),
    slo_s=st.none() | st.floats(1e-3, 60),
    limit=st.none() | st.floats(1e-3, 1e6),
)
def test_odd_numbers_and_clocks_that_jump_break_nothing(
    seconds: list[tuple[float, float, float | None]],
    clock: list[float],
    ready: int,
    cold: int,
    slo_s: float | None,
    limit: float | None,
) -> None:
    function = TargetSettings(rps_limit=limit, slo_s=slo_s, batch=4)
    seen = Observation(ready=ready, starting=cold, desired=ready + cold)
    state = rule.initial_state(function, seen, clock[0])
    for (rps, concurrency, missed), now_s in zip(seconds, clock, strict=False):
        sample = Sample(t_s=now_s, concurrency=concurrency, rps=rps, missed=missed)
        decision, state = rule.decide(function, replace(seen, samples=(sample,)), state, now_s)
        assert decision.replicas is None or 0 <= decision.replicas <= seen.desired + 256
        if decision.replicas is not None:
            seen = replace(seen, ready=min(seen.ready, decision.replicas), starting=0, desired=decision.replicas)


def test_an_objective_below_a_batch_starts_no_storm() -> None:
    function = Function(replica_rps=10.0, batch=8, slo_s=0.1, refuses=False)  # a batch alone takes 0.8 s
    log = scaled(with_target(0.98), World(function, ready=3), arrivals(2, (300, 20.0)))
    assert max(second.replicas for second in log) <= 6


def test_short_loads_are_bounded_by_the_maximum() -> None:
    log = scaled(with_target(0.99), World(Function(max_replicas=4)), arrivals(2, (60, 200.0)))
    assert max(second.replicas for second in log) == 4


def test_poisson_draws_have_the_rate() -> None:
    rng = Random(1)
    assert sum(poisson(rng, 7.0) for _ in range(4000)) / 4000 == pytest.approx(7.0, rel=0.02)


def test_a_good_record_does_not_delay_a_start() -> None:
    function = Function(cold_start_s=10)
    log = scaled(with_target(0.98), World(function), arrivals(3, (1800, 5.0), (60, 14.0)))
    assert log[1800 + function.cold_start_s + DECIDED_WITHIN_S + 1].ready >= 2


def test_a_load_that_comes_back_on_time_finds_its_replicas_and_they_start_once() -> None:
    function, period_s = Function(cold_start_s=4, refuses=False), 300  # too far apart to be kept: 4 s / 0.02 = 200 s
    world = World(function, ready=0)
    log = scaled(
        with_target(0.98),
        world,
        [lambda world, at_s: world.second(at_s, 20.0 if at_s % period_s < 30 else 0.0)] * (12 * period_s),
    )
    assert [log[at_s].ready for at_s in range(4 * period_s, 12 * period_s, period_s)] == [2] * 8
    settled = log[4 * period_s :]
    assert sum(second.replicas == 0 for second in settled) > 0.3 * len(settled)
    assert sum(later.replicas > second.replicas for second, later in pairwise(settled)) <= 2 * 8


def test_a_queue_that_is_late_already_is_worked_off_and_not_stormed() -> None:
    function = Function(cold_start_s=30, refuses=False)  # some 1,300 requests wait when the first start is ready
    log = scaled(with_target(0.98), World(function), arrivals(4, (60, 5.0), (300, 50.0)))
    assert max(second.replicas for second in log) <= 16
    assert log[-1].replicas <= 7
    assert log[-1].miss_ratio == 0.0


@pytest.mark.parametrize(("in_flight", "in_time"), [(5.0, "100.0 %"), (40.0, "0.0 %")])
def test_where_misses_are_not_seen_a_queue_beyond_the_objective_counts_as_missed(
    in_flight: float, in_time: str
) -> None:
    function = TargetSettings(rps_limit=10.0, slo_s=1.0)
    seen = Observation(ready=1, desired=1, samples=(Sample(t_s=0.0, rps=5.0, concurrency=in_flight),))
    decision, _ = rule.decide(function, seen, rule.initial_state(function, seen, 0.0), 1.0)
    assert f"; {in_time} in time over 10 min, target 98 %" in decision.reason
