"""The highest of the last values, against the numbers of Knative's own tests (C1, C2)."""

from __future__ import annotations

import math

import pytest

from dilu_autoscaler.policy.horizontal.kpa.windows import SlidingMaximum, record_maximum


def running(points: list[tuple[int, int]], *, slots: int = 5) -> list[int]:
    window, highest = SlidingMaximum(slots=slots), []
    for step, value in points:
        window = record_maximum(window, step, value)
        highest.append(window.current)
    return highest


@pytest.mark.parametrize(
    ("values", "highest"),
    [
        ([1, 2], [1, 2]),
        ([2, 1], [2, 2]),
        ([1, 2, 1], [1, 2, 2]),
        ([5, 6, 5, 5, 5, 5, 5], [5, 6, 6, 6, 6, 6, 5]),
        ([5, 6, 5, 7, 5, 5, 1], [5, 6, 6, 7, 7, 7, 7]),
        (
            [5, 8, 5, 7, 5, 5, 1, 4, 4, 4, 4, 9, 3, 4, 2, 1, 0],
            [5, 8, 8, 8, 8, 8, 7, 7, 5, 5, 4, 9, 9, 9, 9, 9, 4],
        ),
    ],
    ids=str,
)
def test_c1_the_maximum_of_the_last_five_steps(values: list[int], highest: list[int]) -> None:
    assert running(list(enumerate(values))) == highest


def test_c1_gaps_push_old_values_out() -> None:
    assert running([(0, 6), (1, 5), (2, 2), (6, 1)]) == [6, 6, 6, 2]


@pytest.mark.parametrize(
    ("values", "highest"), [([1, 2, 3, 4, 5, 6, 7],) * 2, ([7, 6, 5, 4, 3, 2, 1], [7] * 7)], ids=["up", "down"]
)
def test_c1_at_one_step_the_highest_counts(values: list[int], highest: list[int]) -> None:
    assert running([(1, value) for value in values]) == highest


@pytest.mark.parametrize(
    ("points", "highest"),
    [({0: 5}, 5), ({0: 6, 0.5: 5}, 6), ({0: 5, 1: 8}, 8), ({0: 5, 6: 4}, 4)],
    ids=str,
)
def test_c2_the_maximum_of_the_last_five_seconds(points: dict[float, int], highest: int) -> None:
    assert running([(math.floor(t_s), value) for t_s, value in points.items()])[-1] == highest


def test_only_values_that_may_still_matter_are_kept() -> None:
    window = SlidingMaximum(slots=1800)
    for step in range(10_000):
        window = record_maximum(window, step, 3)
    assert window.maxima == ((9_999, 3),)
