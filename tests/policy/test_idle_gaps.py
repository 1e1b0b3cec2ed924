"""Gaps in which replicas were not needed, and what is remembered of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.policy.horizontal.idle_gaps import NO_GAPS, IdleGaps, gap_percentile, gaps_after


def gaps_of(needs: list[int], long_samples: int = 100) -> IdleGaps:
    gaps = NO_GAPS
    for need in needs:
        gaps = gaps_after(gaps, need, long_samples=long_samples)
    return gaps


def test_a_gap_ends_when_as_many_are_needed_again() -> None:
    assert gaps_of([2, 1, 1, 1, 2]).ended == ((5, 3),)
    assert gaps_of([2, 1, 1, 1]).ended == ()


def test_each_replica_that_was_let_go_of_has_a_gap_of_its_own() -> None:
    assert gaps_of([3, 2, 1, 3]).ended == ((4, 1), (4, 2))


def test_more_than_was_ever_needed_ends_no_gap() -> None:
    assert gaps_of([1, 2, 5]).ended == ()


def test_what_is_older_than_the_long_window_is_forgotten() -> None:
    needs = [2, 1, 2] + [2] * 9
    assert gaps_of(needs, long_samples=10).ended == ((3, 1),)
    assert gaps_of([*needs, 2], long_samples=10).ended == ()


def test_a_percentile_lies_between_the_two_gaps_next_to_it() -> None:
    gaps = IdleGaps(ended=((1, 2), (8, 4), (9, 10)), sample=10)
    assert gap_percentile(gaps, 50, within_samples=100) == 4.0
    assert gap_percentile(gaps, 75, within_samples=100) == 7.0
    assert gap_percentile(gaps, 50, within_samples=5) == 7.0
    assert gap_percentile(NO_GAPS, 50, within_samples=5) is None


@given(st.lists(st.integers(min_value=0, max_value=400), max_size=60), st.sampled_from([5.0, 50.0, 90.0]))
def test_memory_is_bounded_and_percentiles_are_among_the_gaps(needs: list[int], percentile: float) -> None:
    gaps = gaps_of(needs)
    assert len(gaps.since) <= 256
    assert len(gaps.ended) <= 256
    value = gap_percentile(gaps, percentile, within_samples=100)
    if gaps.ended:
        lengths = [length for _, length in gaps.ended]
        assert value == pytest.approx(min(max(value or 0.0, min(lengths)), max(lengths)))
    else:
        assert value is None
