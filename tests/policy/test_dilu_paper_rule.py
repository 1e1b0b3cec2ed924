"""The paper's 40/20/30 rule, at its boundaries."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dilu.errors import ConfigError
from dilu.spec import function_spec
from dilu_autoscaler.policy.horizontal import Decision, Observation, Sample
from dilu_autoscaler.policy.horizontal.dilu_paper import (
    DiluPaperSpec,
    DiluPaperState,
    decide,
    dilu_paper_spec_for,
    initial_state,
)

SPEC = DiluPaperSpec(rps_limit=60.0)
ABOVE, BETWEEN, BELOW = 121.0, 100.0, 59.0  # what two replicas of 60 rps take, and what one takes


def seen(loads: list[float], *, desired: int, at_s: float = 0.0, learned_rps: float | None = None) -> Observation:
    samples = tuple(Sample(t_s=at_s + i, concurrency=rps / 10, rps=rps) for i, rps in enumerate(loads))
    return Observation(samples=samples, ready=desired, desired=desired, learned_rps=learned_rps)


def after(
    loads: list[float], *, desired: int = 2, spec: DiluPaperSpec = SPEC, learned_rps: float | None = None
) -> Decision:
    """The decision once these samples were seen one by one; none before the last may change the number."""
    state = DiluPaperState(replicas=desired)
    for second, rps in enumerate(loads):
        observation = seen([rps], desired=desired, at_s=second, learned_rps=learned_rps)
        decision, state = decide(spec, observation, state, second + 1.0)
        changed = decision.replicas not in (desired, None)
        assert not changed or second == len(loads) - 1, f"changed at sample {second + 1}: {decision.reason}"
    return decision


def test_it_goes_out_at_the_twentieth_of_forty_samples_above_and_not_at_the_nineteenth() -> None:
    assert after([ABOVE] * 19 + [BETWEEN] * 21).replicas == 2
    decision = after([ABOVE] * 10 + [BETWEEN] * 20 + [ABOVE] * 10)
    assert decision.replicas == 3
    assert decision.reason == "out: 20 of the last 40 samples above 2 x 60.0 rps, limit 20"


def test_it_need_not_see_forty_samples_to_go_out() -> None:
    assert after([ABOVE] * 20).replicas == 3


def test_samples_leave_the_window_after_forty() -> None:
    assert after([ABOVE] * 19 + [BETWEEN] * 21 + [ABOVE] * 18).replicas == 2


def test_a_load_of_exactly_the_capacity_is_not_above_it() -> None:
    assert after([120.0] * 40).replicas == 2


def test_it_goes_in_at_the_thirty_first_sample_below_and_not_at_the_thirtieth() -> None:
    assert after([BELOW] * 30 + [BETWEEN] * 10).replicas == 2
    decision = after([BELOW] * 15 + [BETWEEN] * 9 + [BELOW] * 16)
    assert decision.replicas == 1
    assert decision.reason == "in: 31 of the last 40 samples below 1 x 60.0 rps, limit 31"


def test_a_load_of_exactly_the_capacity_of_one_fewer_is_not_below_it() -> None:
    assert after([60.0] * 40).replicas == 2


def test_the_last_replica_goes_at_the_fortieth_quiet_sample_in_a_row_and_not_at_the_thirty_ninth() -> None:
    assert after([1.0] + [0.0] * 39, desired=1).replicas == 1
    decision = after([1.0] + [0.0] * 40, desired=1)
    assert decision == Decision(replicas=0, reason="to zero: no demand in the last 40 samples, limit 40")


def test_a_request_in_flight_keeps_the_last_replica_though_nothing_arrives() -> None:
    state = DiluPaperState(replicas=1)
    streaming = tuple(Sample(t_s=t, concurrency=1.0, rps=0.0) for t in range(100))
    assert decide(SPEC, Observation(samples=streaming, ready=1, desired=1), state, 100.0)[0].replicas == 1


def test_the_minimum_is_kept() -> None:
    decision = after([0.0] * 100, desired=1, spec=DiluPaperSpec(rps_limit=60.0, min_replicas=1))
    assert (decision.replicas, decision.next_change_s) == (1, None)
    assert after([0.0] * 100, desired=2, spec=DiluPaperSpec(rps_limit=60.0, min_replicas=2)).replicas == 2


def test_the_maximum_is_kept_with_its_history() -> None:
    decision = after([ABOVE] * 30, spec=DiluPaperSpec(rps_limit=60.0, max_replicas=2))
    assert decision.replicas == 2
    assert decision.reason == "at max-scale 2: 30 of the last 30 samples above 2 x 60.0 rps"


def test_it_moves_one_step_and_forgets_the_history() -> None:
    decision, state = decide(SPEC, seen([1000.0] * 40, desired=2), DiluPaperState(replicas=2), 40.0)
    assert decision.replicas == 3
    assert state == DiluPaperState(replicas=3, complete_s=40.0)
    decision, state = decide(SPEC, seen([1000.0] * 19, desired=3, at_s=40), state, 59.0)
    assert decision.replicas == 3
    decision, state = decide(SPEC, seen([1000.0], desired=3, at_s=59), state, 60.0)
    assert decision.replicas == 4


def test_a_number_changed_from_outside_makes_the_history_void() -> None:
    _, state = decide(SPEC, seen([ABOVE] * 19, desired=2), DiluPaperState(replicas=2), 19.0)
    decision, state = decide(SPEC, seen([1000.0], desired=3, at_s=19), state, 20.0)
    assert (
        decision.reason
        == "steady: 1 of the last 1 samples above 3 x 60.0 rps; 0 of the last 1 samples below 2 x 60.0 rps"
    )


@pytest.mark.parametrize(
    ("observation", "reason"),
    [
        (Observation(ready=0, desired=0, waiting=3), "from zero: 3 waiting"),
        (seen([0.0, 2.0], desired=0), "from zero: 1 of 2 new samples with demand"),
    ],
    ids=["waiting", "sampled"],
)
def test_any_demand_at_zero_starts_one_at_once(observation: Observation, reason: str) -> None:
    decision, _ = decide(SPEC, observation, DiluPaperState(replicas=0), 10.0)
    assert (decision.replicas, decision.reason) == (1, reason)


def test_without_demand_zero_stays_and_nothing_is_due() -> None:
    decision, _ = decide(SPEC, seen([0.0] * 9, desired=0), DiluPaperState(replicas=0), 9.0)
    assert decision == Decision(replicas=0, reason="zero: no demand")


def test_no_new_sample_changes_nothing() -> None:
    full = DiluPaperState(replicas=2, history_rps=(BELOW,) * 40)
    decision, state = decide(SPEC, Observation(ready=2, desired=2), full, 50.0)
    assert (decision.replicas, decision.reason) == (None, "hold: no new sample")
    assert state == full


def test_the_learned_capacity_stands_in_for_an_unknown_limit() -> None:
    assert after([ABOVE] * 20, spec=DiluPaperSpec(), learned_rps=60.0).replicas == 3
    assert after([ABOVE] * 20, spec=DiluPaperSpec(rps_limit=100.0), learned_rps=60.0).replicas == 2


def test_an_unknown_capacity_holds_and_says_so() -> None:
    decision = after([ABOVE] * 40, spec=DiluPaperSpec())
    assert decision.replicas is None
    assert "throughput of one replica is unknown" in decision.reason


def test_an_idle_function_of_unknown_capacity_still_goes_in_and_to_zero() -> None:
    assert after([0.0] * 31, spec=DiluPaperSpec()).replicas == 1
    assert after([0.0] * 40, desired=1, spec=DiluPaperSpec()).replicas == 0


@pytest.mark.parametrize(
    ("loads", "desired"),
    [
        ([1.0], 1),
        ([1.0, 0.0, 0.0], 1),
        ([BETWEEN] * 40, 2),
        ([BELOW] * 5 + [BETWEEN] * 35, 2),
        ([BETWEEN] * 35 + [BELOW] * 5, 2),
        ([BELOW] * 20 + [ABOVE], 2),
        ([ABOVE] * 19 + [BETWEEN], 2),
    ],
    ids=lambda value: str(value) if isinstance(value, int) else f"{value[0]:g}..{value[-1]:g} of {len(value)}",
)
def test_the_next_change_is_the_very_second_in_which_quiet_samples_tip_it(loads: list[float], desired: int) -> None:
    """The rule is replayed with quiet seconds alone: the foretold second is the first in which the number changes."""
    start = len(loads)
    decision, state = decide(SPEC, seen(loads, desired=desired), DiluPaperState(replicas=desired), start + 0.25)
    foretold_s = decision.next_change_s
    assert foretold_s is not None
    second = start
    while decision.replicas == desired:
        decision, state = decide(SPEC, seen([0.0], desired=desired, at_s=second), state, second + 1.0)
        second += 1
    assert second == foretold_s


def test_a_sample_of_exactly_the_capacity_of_one_fewer_gives_way_to_a_quiet_one() -> None:
    """Six more below are needed, and the six oldest samples, at the capacity of one, are the first to leave."""
    assert after([60.0] * 15 + [BELOW] * 25).next_change_s == 46.0


def test_after_each_change_the_next_one_is_foretold_too() -> None:
    decision, _ = decide(SPEC, Observation(ready=0, desired=0, waiting=1), DiluPaperState(replicas=0), 100.5)
    assert decision.next_change_s == 140.0  # at the earliest: were the present second quiet from its beginning
    decision, _ = decide(SPEC, seen([ABOVE] * 20, desired=2, at_s=80), DiluPaperState(replicas=2), 100.5)
    assert (decision.replicas, decision.next_change_s) == (3, 131.0)


def test_a_source_that_fell_silent_is_not_waited_for_in_the_past() -> None:
    state = DiluPaperState(replicas=1, history_rps=(1.0,), quiet_samples=0, complete_s=10.0)
    decision, _ = decide(SPEC, Observation(ready=1, desired=1), state, 1000.0)
    assert decision.next_change_s == 1040.0


# --- while the first replica loads -----------------------------------------------------------------------------------


def loading(samples: int, *, at_s: float = 0.0, desired: int = 1) -> Observation:
    return replace(seen([0.0] * samples, desired=desired, at_s=at_s), ready=0, starting=desired)


def test_a_replica_that_loads_for_minutes_is_not_stopped_and_its_forty_begin_when_it_is_ready() -> None:
    decision, state = decide(SPEC, Observation(ready=0, desired=0, waiting=1), DiluPaperState(replicas=0), 0.5)
    for second in range(200):
        decision, state = decide(SPEC, loading(1, at_s=second), state, second + 1.0)
        assert decision.replicas == 1, second
    assert decision.reason == "starting: no replica is ready yet, so 200 samples without demand do not count"
    assert decision.next_change_s is None, "quiet seconds alone change nothing; that it is ready pokes"
    decision, state = decide(SPEC, seen([0.0] * 50, desired=1, at_s=200), state, 250.5)
    assert (decision.replicas, decision.next_change_s) == (1, 290.0)
    decision, state = decide(SPEC, seen([0.0] * 39, desired=1, at_s=250), state, 289.5)
    assert decision.replicas == 1
    assert decide(SPEC, seen([0.0], desired=1, at_s=289), state, 290.0)[0].replicas == 0


def test_ready_within_a_second_it_goes_after_the_forty_too() -> None:
    """Its request gave up meanwhile; no sample came between asking for it and its being ready."""
    _, state = decide(SPEC, Observation(ready=0, desired=0, waiting=1), DiluPaperState(replicas=0), 0.5)
    decision, state = decide(SPEC, Observation(ready=1, desired=1), state, 0.8)
    assert decision.next_change_s == 40.0
    assert decide(SPEC, seen([1.0] + [0.0] * 39, desired=1), state, 40.0)[0].replicas == 1
    assert decide(SPEC, seen([1.0] + [0.0] * 40, desired=1), state, 41.0)[0].replicas == 0


def test_what_was_quiet_before_the_first_observation_of_a_loading_replica_does_not_stop_it() -> None:
    first = loading(40)
    decision, state = decide(SPEC, first, initial_state(SPEC, first, 40.0), 40.0)
    assert decision.replicas == 1
    assert decide(SPEC, seen([0.0] * 40, desired=1, at_s=40), state, 80.0)[0].replicas == 1, "it was loading then"


def test_of_many_replicas_that_load_one_is_left() -> None:
    decision, state = decide(SPEC, loading(31, desired=2), DiluPaperState(replicas=2), 31.0)
    assert (decision.replicas, decision.next_change_s) == (1, None)
    assert decide(SPEC, loading(40, at_s=31), state, 71.0)[0].replicas == 1


def test_load_above_what_one_takes_starts_another_also_while_the_first_one_loads() -> None:
    busy = replace(seen([61.0] * 20, desired=1), ready=0, starting=1)
    assert decide(SPEC, busy, DiluPaperState(replicas=1), 20.0)[0].replicas == 2


def test_one_that_fails_to_start_is_let_go_where_no_request_came_for_forty_samples() -> None:
    decision, state = decide(SPEC, loading(60), DiluPaperState(replicas=1), 60.0)
    assert decision.replicas == 1
    failed = replace(seen([0.0], desired=1, at_s=60), ready=0)
    assert decide(SPEC, failed, state, 61.0)[0].replicas == 0


def test_a_function_that_keeps_failing_to_start_goes_to_zero() -> None:
    """Ends of starts are seen, starts are not: nothing pokes for them."""
    state, second, decision = DiluPaperState(replicas=1, was_ready=False), 0, None
    for wait_s in (1, 2, 4, 8, 16, 30):
        failed = replace(seen([0.0] * wait_s, desired=1, at_s=second), ready=0)
        second += wait_s
        decision, state = decide(SPEC, failed, state, float(second))
    assert decision is not None
    assert decision.replicas == 0


# --- settings --------------------------------------------------------------------------------------------------------


def test_the_first_state_is_empty() -> None:
    assert initial_state(SPEC, seen([5.0], desired=3), 1.0) == DiluPaperState(replicas=3)


def test_the_settings_come_from_the_functions_spec() -> None:
    spec = dilu_paper_spec_for(function_spec("embed", rps_request=20, rps_limit=48, min_scale=1, max_scale=9))
    assert spec == DiluPaperSpec(rps_limit=48.0, min_replicas=1, max_replicas=9)


def test_an_impossible_limit_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^rps-limit = 0, must be > 0$"):
        DiluPaperSpec(rps_limit=0)
