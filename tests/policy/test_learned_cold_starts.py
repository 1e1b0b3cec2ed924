"""How long a start takes, learned from how many are starting and how many are ready."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.policy.horizontal import Observation
from dilu_autoscaler.policy.horizontal.dilu.cold_start_times import (
    ASSUMED_S,
    ColdStartTimes,
    cold_start_times_first,
    cold_start_times_then,
)


def learned(*seen: tuple[float, int, int]) -> ColdStartTimes:
    """After observations of (time, ready, starting)."""
    times = cold_start_times_first(Observation(ready=seen[0][1], starting=seen[0][2], desired=1))
    for now_s, ready, starting in seen:
        times = cold_start_times_then(Observation(ready=ready, starting=starting, desired=1), times, now_s)
    return times


def test_until_one_was_seen_it_is_assumed() -> None:
    assert learned((0.0, 1, 0), (1.0, 1, 1)).typical_s == ASSUMED_S


def test_the_first_one_is_taken_as_it_is_and_later_ones_in_part() -> None:
    assert learned((0.0, 1, 0), (2.0, 1, 1), (27.0, 2, 0)).typical_s == 25.0
    assert learned((0.0, 1, 0), (2.0, 1, 1), (27.0, 2, 0), (30.0, 2, 1), (45.0, 3, 0)).typical_s == 21.0


def test_the_oldest_becomes_ready_first() -> None:
    assert learned((0.0, 1, 0), (2.0, 1, 1), (8.0, 1, 2), (12.0, 2, 1)).typical_s == 10.0


def test_one_that_is_stopped_before_it_is_ready_teaches_nothing() -> None:
    times = learned((0.0, 1, 0), (2.0, 1, 1), (9.0, 1, 0), (20.0, 2, 0))
    assert (times.typical_s, times.seen, times.begun_s) == (ASSUMED_S, 0, ())


@given(
    st.lists(
        st.tuples(st.integers(min_value=0, max_value=9), st.integers(min_value=0, max_value=200)),
        min_size=1,
        max_size=30,
    )
)
def test_whatever_comes_and_goes_the_time_is_no_nonsense(counts: list[tuple[int, int]]) -> None:
    times = learned(*[(float(second), ready, starting) for second, (ready, starting) in enumerate(counts)])
    assert 0 <= times.typical_s <= max(ASSUMED_S, len(counts))
    assert len(times.begun_s) <= 64
