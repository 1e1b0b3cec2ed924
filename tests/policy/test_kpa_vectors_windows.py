"""Windows in the cases that Knative's own tests leave out; the numbers are those that Knative gives."""

from __future__ import annotations

import math

import pytest

from dilu_autoscaler.policy.horizontal import Observation, Sample
from dilu_autoscaler.policy.horizontal.kpa.rule import decide, evaluate
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec
from dilu_autoscaler.policy.horizontal.kpa.state import (
    averages_now,
    state_for_ready,
    with_points,
    with_windows_as_long_as,
)
from dilu_autoscaler.policy.horizontal.kpa.windows import (
    Window,
    average,
    empty_window,
    is_empty,
    record,
    resized,
    weighted_average,
)
from dilu_autoscaler.policy.horizontal.observations import Averages

N = 1_700_000_003  # any second


def stale() -> Window:
    """Five seconds that were written, and have passed by more than one when the window becomes ten seconds."""
    window = record(empty_window(5), [(N + second, 100.0) for second in range(5)])
    return resized(window, 10, N + 10)


def test_a_window_that_was_empty_when_resized_knows_of_no_load_as_far_as_it_reaches() -> None:
    window = stale()
    assert not is_empty(window, N + 10)
    assert average(window, N + 10) == weighted_average(window, N + 10) == 0
    assert is_empty(window, N + 15)


@pytest.mark.parametrize(
    ("point", "now_s", "mean"),
    [
        pytest.param((N + 11, 6.0), N + 11, 6.0, id="the next write is the first"),
        pytest.param((N + 4, 6.0), N + 10, 1.5, id="in the second of its last write: all it reaches counts"),
        pytest.param((N + 2, 6.0), N + 10, 2.0, id="an older write is the first"),
        pytest.param((N + 30, 6.0), N + 30, 6.0, id="a window later"),
        pytest.param((N - 6, 6.0), N + 10, 0.0, id="older than the window"),
    ],
)
def test_what_is_written_to_a_window_that_was_empty_when_resized(
    point: tuple[float, float], now_s: float, mean: float
) -> None:
    assert average(record(stale(), [point]), now_s) == mean


def test_a_window_that_is_just_not_empty_keeps_its_seconds_when_resized() -> None:
    window = record(empty_window(5), [(N + second, 100.0) for second in range(5)])
    assert average(resized(window, 10, N + 9.9), N + 4) == 100


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e16])
def test_a_value_that_no_load_can_have_is_dropped(value: float) -> None:
    window = record(empty_window(5), [(N, 3.0), (N, value), (N + 1, value)])
    assert window == record(empty_window(5), [(N, 3.0)])


def test_weights_so_small_that_they_lose_digits_are_knatives() -> None:
    window = record(empty_window(3600), [(N, 1.0)])
    assert weighted_average(window, N + 3200) == 1.54521305921e-311
    assert weighted_average(window, N + 3599) == 0


def test_samples_from_before_a_change_go_into_the_windows_of_before() -> None:
    """Five quiet minutes without a tick: the window was not silent when it was made longer."""
    spec, longer = KpaSpec(), KpaSpec(stable_window_s=600, panic_window_s=60)
    _, state = decide(spec, seen(Sample(t_s=100, concurrency=5.0, rps=5.0)), state_for_ready(spec, 1, 100.0), 101.0)
    quiet = tuple(Sample(t_s=second, concurrency=0.0, rps=0.0) for second in range(101, 401))
    _, state = decide(longer, seen(*quiet), state, 401.0)
    stable = state.concurrency.stable
    assert (stable.first_s, stable.last_s, stable.total) == (341, 400, 0.0)


def seen(*samples: Sample) -> Observation:
    return Observation(samples=samples, ready=1, desired=1)


def test_a_result_that_is_held_says_whether_there_is_panic() -> None:
    spec = KpaSpec()
    decision, _ = evaluate(spec, None, 3, state_for_ready(spec, 3, 0.0), 100.0)
    assert (decision.replicas, decision.panicking) == (None, True)
    decision, _ = evaluate(spec, Averages(stable=1, panic=1), None, state_for_ready(spec, 1, 0.0), 100.0)
    assert (decision.replicas, decision.panicking) == (None, False)


def test_an_endless_rate_of_scaling_up_ends_at_the_largest_count() -> None:
    spec = KpaSpec(target=0.01, max_scale_up_rate=math.inf)
    decision, _ = evaluate(spec, Averages(stable=1e14, panic=1e14), 1, state_for_ready(spec, 1, 0.0), 0.0)
    assert decision.replicas == 2**31 - 1


def test_points_and_lengths_can_be_given_one_by_one() -> None:
    spec = KpaSpec()
    state = with_points(state_for_ready(spec, 1, 0.0), concurrency=[(100.0, 3.0), (100.5, 1.0)])
    assert averages_now(spec, state, 100.5) == Averages(stable=4.0, panic=4.0)
    assert with_windows_as_long_as(spec, state, 100.5) is state
    assert state.rps == state_for_ready(spec, 1, 0.0).rps
