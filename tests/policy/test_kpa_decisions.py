"""KPA from samples: windows and evaluation together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dilu_autoscaler.policy.horizontal import Decision, Observation, Sample
from dilu_autoscaler.policy.horizontal.kpa.rule import decide, initial_state
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, Aggregation, KpaSpec, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.state import KpaState, state_for_ready

SPEC = KpaSpec(target=1.0, total=2.0)


def seconds(start: int, *loads: float, rps: float = 0.0) -> tuple[Sample, ...]:
    return tuple(Sample(t_s=start + i, concurrency=load, rps=rps) for i, load in enumerate(loads))


def seen(
    *samples: Sample, ready: int = 1, desired: int | None = None, waiting: int = 0, starting: int = 0
) -> Observation:
    desired = ready if desired is None else desired
    return Observation(samples=samples, ready=ready, starting=starting, desired=desired, waiting=waiting)


def first(spec: KpaSpec, *samples: Sample, ready: int = 1, now_s: float) -> tuple[Decision, KpaState]:
    observation = seen(*samples, ready=ready)
    return decide(spec, observation, initial_state(spec, observation, now_s), now_s)


def test_the_averages_are_those_of_the_two_windows() -> None:
    decision, _ = first(SPEC, *seconds(100, *range(1, 61)), ready=40, now_s=159.5)
    assert (decision.stable, decision.panic) == (30.5, 57.5)


def test_e_no_sample_ever_holds() -> None:
    decision, state = first(SPEC, now_s=100.0)
    assert decision == Decision(
        replicas=None,
        reason="hold: no data for more than 60 s",
        next_change_s=160.0,  # were every second from now on quiet, and reported
    )
    assert state == state_for_ready(SPEC, 1, 100.0)


def test_e_with_an_unlimited_burst_target_silence_is_no_load() -> None:
    decision, _ = first(replace(SPEC, target_burst_capacity=UNLIMITED_BURST), now_s=100.0)
    assert (decision.replicas, decision.excess_burst_capacity) == (0, -1)


def test_samples_that_stop_hold_once_the_window_has_passed() -> None:
    decision, state = first(SPEC, *seconds(100, 5.0, 5.0), ready=5, now_s=101.9)
    assert decision.replicas == 5
    assert decide(SPEC, seen(ready=5), state, 150.0)[0].replicas == 5
    assert decide(SPEC, seen(ready=5), state, 162.0)[0].replicas is None


def test_a_change_of_metric_finds_its_history() -> None:
    _, state = first(SPEC, *seconds(100, 5.0, 5.0, rps=80.0), ready=5, now_s=101.9)
    decision, _ = decide(replace(SPEC, metric=ScalingMetric.RPS, target=10.0), seen(ready=5), state, 101.9)
    assert (decision.stable, decision.replicas) == (80.0, 8)


def test_a_shorter_window_keeps_the_newest_seconds() -> None:
    _, state = first(SPEC, *seconds(100, *[9.0] * 50, *[1.0] * 10), ready=9, now_s=159.5)
    shorter = replace(SPEC, stable_window_s=10, panic_window_s=2)
    decision, state = decide(shorter, seen(ready=9), state, 159.5)
    assert decision.stable == 1.0
    decision, _ = decide(shorter, seen(*seconds(160, 2.0), ready=9), state, 160.5)
    assert (decision.stable, decision.panic) == (1.1, 1.5)


def test_the_aggregation_is_the_one_that_the_state_was_made_with() -> None:
    weighted = replace(SPEC, aggregation=Aggregation.WEIGHTED_EXPONENTIAL)
    decision, state = first(weighted, *seconds(100, 10.0), now_s=100.5)
    assert decision.stable == 2.0  # 0.2 of the newest second
    assert decide(SPEC, seen(), state, 100.5)[0].stable == 2.0


def test_the_first_waiting_request_starts_a_replica_before_its_second_is_over() -> None:
    decision, state = first(SPEC, *seconds(40, *[0.0] * 60), ready=0, now_s=99.9)
    assert decision.replicas == 0
    decision, state = decide(SPEC, seen(ready=0, waiting=1), state, 100.1)
    assert decision.replicas == 1
    before_any_sample = decide(SPEC, seen(ready=0, waiting=7), state_for_ready(SPEC, 0, 0.0), 100.1)
    assert before_any_sample[0].replicas == 7


@pytest.mark.parametrize("desired", [0, 1, 3])
def test_what_waits_is_asked_for_also_while_replicas_start(desired: int) -> None:
    _, state = first(SPEC, *seconds(100, 1.0), ready=0, now_s=100.9)
    observation = seen(ready=0, desired=desired, starting=desired, waiting=5)
    decision, _ = decide(SPEC, observation, state, 101.5)
    assert (decision.replicas, decision.stable) == (5, 5)


def test_a_greater_mean_than_what_waits_now_stands() -> None:
    _, state = first(SPEC, *seconds(100, 9.0), ready=0, now_s=100.9)
    assert decide(SPEC, seen(ready=0, desired=9, starting=9, waiting=2), state, 101.5)[0].stable == 9.0


# --- down only on evidence -------------------------------------------------------------------------------------------

QUIET = seconds(40, *[0.0] * 60)  # a minute at zero, up to 100.0 s


def asked_for() -> KpaState:
    """After a quiet minute at zero one request waited, at 100.1 s; a replica was asked for."""
    _, state = first(SPEC, *QUIET, ready=0, now_s=100.0)
    decision, state = decide(SPEC, seen(ready=0, waiting=1), state, 100.1)
    assert decision.replicas == 1
    return state


@pytest.mark.parametrize(
    "poke",
    [seen(ready=0, desired=1, starting=1), seen(ready=1), seen(ready=0, desired=1)],
    ids=["starting", "ready", "draining"],
)
def test_a_poke_within_the_second_of_the_first_request_takes_nothing_back(poke: Observation) -> None:
    decision, state = decide(SPEC, poke, asked_for(), 100.3)
    assert (decision.replicas, decision.reason) == (None, "hold: no new sample")
    decision, _ = decide(SPEC, seen(*seconds(100, 0.02, rps=1.0)), state, 101.0)
    assert decision.replicas == 1


def test_a_look_without_a_sample_may_raise_the_number() -> None:
    """Of three replicas wanted one is ready; then panic begins at once, not a second later."""
    decision, state = first(SPEC, *seconds(100, *[1.0] * 50, *[5.0] * 6), ready=5, now_s=156.0)
    decision, _ = decide(SPEC, seen(ready=1, desired=2), state, 156.2)
    assert (decision.replicas, decision.panicking) == (5, True)


def test_without_a_sample_many_replicas_stay_and_the_next_second_is_waited_for() -> None:
    _, state = first(SPEC, *seconds(100, *[0.0] * 60), ready=1, now_s=160.0)
    decision, _ = decide(SPEC, seen(ready=4), state, 160.4)
    assert (decision.replicas, decision.next_change_s) == (None, 161.0)


def test_the_last_replica_stays_until_a_whole_window_of_quiet_samples_was_seen() -> None:
    decision, state = first(SPEC, *seconds(100, *[0.0] * 3), now_s=103.0)
    assert (decision.replicas, decision.next_change_s) == (1, 160.0)
    assert decision.reason.endswith("; 1 kept: 57 more quiet samples to zero")
    decision, state = decide(SPEC, seen(*seconds(103, *[0.0] * 56)), state, 159.0)
    assert (decision.replicas, decision.next_change_s) == (1, 160.0)
    decision, state = decide(SPEC, seen(*seconds(159, 0.0)), state, 160.0)
    assert (decision.replicas, decision.next_change_s) == (0, None)


def test_an_unreachable_function_may_fall_at_once() -> None:
    decision, _ = first(replace(SPEC, reachable=False), *seconds(100, 0.0), now_s=101.0)
    assert decision.replicas == 0


def test_a_replica_that_loads_for_minutes_is_not_stopped_and_goes_a_quiet_window_after_it_is_ready() -> None:
    state, loading = asked_for(), {"ready": 0, "desired": 1, "starting": 1}
    decision, state = decide(SPEC, seen(*seconds(100, *[1.0] * 120, rps=1.0), **loading), state, 220.0)
    assert decision.replicas == 1
    for second in range(220, 400):  # the request gave up
        decision, state = decide(SPEC, seen(*seconds(second, 0.0), **loading), state, second + 1.0)
        assert decision.replicas == 1
    assert decision.reason.endswith("; 1 kept: no replica is ready yet")
    assert decision.next_change_s is None, "quiet seconds alone change nothing; that it is ready pokes"
    decision, state = decide(SPEC, seen(*seconds(400, *[0.0] * 50), ready=1), state, 450.5)
    assert (decision.replicas, decision.next_change_s) == (1, 510.0)
    decision, state = decide(SPEC, seen(*seconds(450, *[0.0] * 59), ready=1), state, 509.5)
    assert decision.replicas == 1
    decision, state = decide(SPEC, seen(*seconds(509, 0.0), ready=1), state, 510.0)
    assert decision.replicas == 0


def test_many_replicas_of_which_none_is_ready_go_down_to_one_and_no_further() -> None:
    _, state = first(SPEC, *seconds(40, *[0.0] * 60), ready=0, now_s=100.0)
    decision, _ = decide(SPEC, seen(*seconds(100, 0.0), ready=0, desired=4, starting=4), state, 101.0)
    assert decision.replicas == 1


def test_one_that_fails_to_start_is_let_go_where_no_request_came_for_a_window() -> None:
    state = asked_for()
    decision, state = decide(SPEC, seen(*seconds(100, 1.0, rps=1.0), ready=0, desired=1, starting=1), state, 101.0)
    loading = seen(*seconds(101, *[0.0] * 60), ready=0, desired=1, starting=1)
    decision, state = decide(SPEC, loading, state, 161.0)
    assert decision.replicas == 1
    decision, _ = decide(SPEC, seen(*seconds(161, 0.0), ready=0, desired=1), state, 162.0)
    assert decision.replicas == 0


def test_with_load_it_looks_again_at_the_next_tick() -> None:
    decision, _ = first(SPEC, *seconds(100, 1.0), now_s=100.5)
    assert decision.next_change_s == 102.5


def test_at_rest_nothing_changes_without_new_load() -> None:
    decision, state = first(SPEC, *seconds(100, 1.0), now_s=100.5)
    decision, state = decide(SPEC, seen(*seconds(101, *[0.0] * 59)), state, 159.9)
    assert decision.replicas == 1
    decision, state = decide(SPEC, seen(*seconds(160, 0.0)), state, 160.9)
    assert (decision.replicas, decision.next_change_s) == (0, None)
