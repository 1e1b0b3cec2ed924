"""KPA from samples: windows and evaluation together."""

from __future__ import annotations

from dataclasses import replace

from dilu_autoscaler.policy import Decision, Observation, Sample
from dilu_autoscaler.policy.kpa import decide, initial_state
from dilu_autoscaler.policy.kpa_spec import UNLIMITED_BURST, Aggregation, KpaSpec, Metric
from dilu_autoscaler.policy.kpa_state import KpaState, state_for_ready

SPEC = KpaSpec(target=1.0, total=2.0)


def seconds(start: int, *loads: float, rps: float = 0.0) -> tuple[Sample, ...]:
    return tuple(Sample(t_s=start + i, concurrency=load, rps=rps) for i, load in enumerate(loads))


def seen(*samples: Sample, ready: int = 1, desired: int | None = None, waiting: int = 0) -> Observation:
    return Observation(samples=samples, ready=ready, desired=ready if desired is None else desired, waiting=waiting)


def first(spec: KpaSpec, *samples: Sample, ready: int = 1, now_s: float) -> tuple[Decision, KpaState]:
    observation = seen(*samples, ready=ready)
    return decide(spec, observation, initial_state(spec, observation, now_s), now_s)


def test_the_averages_are_those_of_the_two_windows() -> None:
    decision, _ = first(SPEC, *seconds(100, *range(1, 61)), ready=40, now_s=159.5)
    assert (decision.stable, decision.panic) == (30.5, 57.5)


def test_e_no_sample_ever_holds() -> None:
    decision, state = first(SPEC, now_s=100.0)
    assert decision == Decision(replicas=None, reason="hold: no data for more than 60 s")
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
    decision, _ = decide(replace(SPEC, metric=Metric.RPS, target=10.0), seen(ready=5), state, 101.9)
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


def test_waiting_requests_are_not_counted_twice_once_a_replica_is_wanted() -> None:
    _, state = first(SPEC, *seconds(100, 1.0), ready=0, now_s=100.9)
    decision, _ = decide(SPEC, seen(ready=0, desired=1, waiting=50), state, 100.9)
    assert decision.stable == 1.0


def test_with_load_it_looks_again_at_the_next_tick() -> None:
    decision, _ = first(SPEC, *seconds(100, 1.0), now_s=100.5)
    assert decision.next_change_s == 102.5


def test_at_rest_nothing_changes_without_new_load() -> None:
    decision, state = first(SPEC, *seconds(100, 1.0), now_s=100.5)
    decision, state = decide(SPEC, seen(*seconds(101, *[0.0] * 59)), state, 159.9)
    assert decision.replicas == 1
    decision, state = decide(SPEC, seen(*seconds(160, 0.0)), state, 160.9)
    assert (decision.replicas, decision.next_change_s) == (0, None)
