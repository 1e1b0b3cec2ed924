"""Windows of one-second buckets, against the numbers of Knative's own tests (E)."""

from __future__ import annotations

import math

import pytest

from dilu_autoscaler.policy.horizontal.kpa.windows import (
    Window,
    average,
    empty_window,
    is_empty,
    record,
    resized,
    rounded,
    smoothing_coefficient,
    weighted_average,
)

N = 1_700_000_003  # any second


def written(seconds: int, *points: tuple[float, float]) -> Window:
    return record(empty_window(seconds), [(N + t_s, value) for t_s, value in points])


def counted(seconds: int, upto: int) -> Window:
    """1, 2, 3, ... written at the seconds 0, 1, 2, ..."""
    return written(seconds, *[(second, float(second + 1)) for second in range(upto)])


def test_e_linear_steps_one_to_eleven() -> None:
    window = written(5, (0, 1))
    assert average(window, N) == 1
    window = record(window, [(N + t, t + 1.0) for t in (1, 2, 3, 4)])
    assert average(window, N + 4) == 3
    assert average(window, N + 3.6) == 3
    assert average(window, N + 6) == 4  # (15 - 1 - 2) / 3
    assert average(window, N + 10) == 0
    window = record(window, [(N + 6, 91)])
    assert average(window, N + 6) == 20.6
    n = N + 60
    window = record(window, [(n, 1984)])
    assert average(window, n) == 1984
    window = record(window, [(n - 3, 4)])
    assert average(window, n) == 497
    n += 1
    window = record(window, [(n, 5)])
    assert average(window, n) == 398.6
    window = record(window, [(n - 3, 10)])
    assert average(window, n) == 400.6
    assert record(window, [(n - 6, 10), (n - 5, 10)]) == window
    window = record(window, [(n + 5, 10)])
    assert average(window, n + 5) == 10


def test_e_descending_writes() -> None:
    window = written(5, *[(second, 5.0) for second in range(8, -1, -1)])
    assert average(window, N + 5) == 5


def test_e_resizing() -> None:
    window = counted(5, 6)
    assert average(window, N + 5) == 4
    window = resized(window, 10, N + 5)
    assert average(window, N + 5) == 4
    window = record(window, [(N + 6, 7)])
    assert average(window, N + 6) == 4.5  # 27 / 6
    window = resized(window, 4, N + 6)
    assert average(window, N + 6) == 5.5  # 22 / 4


def test_e_collector_two_windows() -> None:
    points = [(second, second + 5.0) for second in range(10)]
    assert average(written(6, *points), N + 9) == 11.5
    assert average(written(2, *points), N + 9) == 13.5


def test_e_an_older_write_than_the_window_is_dropped() -> None:
    window = written(60, (70, 10.0))
    assert record(window, [(N, 999.0)]) == window


def test_e_values_of_one_second_add_up() -> None:
    assert written(5, (0, 1), (0.1, 10)).total == 11


@pytest.mark.parametrize(
    ("seconds", "coefficient"), [(100, 0.2), (60, 0.2), (40, 0.20567), (10, 0.60189), (6, 0.78456), (5, 0.84151)]
)
def test_e_weighting(seconds: int, coefficient: float) -> None:
    assert smoothing_coefficient(seconds) == pytest.approx(coefficient, abs=5e-6)


@pytest.mark.parametrize("seconds", range(1, 70))
def test_the_written_out_weights_are_those_of_the_formula(seconds: int) -> None:
    formula = max(1 - 0.0001 ** (1 / seconds), 0.2)
    assert smoothing_coefficient(seconds) == pytest.approx(formula, rel=1e-14)


def test_e_weighted_average() -> None:
    assert weighted_average(counted(5, 6), N + 5) == pytest.approx(5.812, abs=5e-4)


def test_e_weighted_average_of_one_value_and_a_second_later() -> None:
    window, k = written(5, (0, 2.0)), smoothing_coefficient(5)
    assert weighted_average(window, N) == 2 * k
    assert weighted_average(window, N + 1) == 2 * (k * (1 - k))
    assert weighted_average(window, N + 5) == 0


@pytest.mark.parametrize(
    ("digits", "value", "result"),
    [
        (6, 3.6e-17, 0.0),
        (3, 1.2345, 1.235),
        (3, 0.0004, 0.0),
        (0, 2.5, 3.0),
        (0, -2.5, -3.0),
        (0, math.nextafter(0.5, 0), 0.0),
    ],
)
def test_e_a_half_is_rounded_away_from_zero(digits: int, value: float, result: float) -> None:
    assert rounded(value, digits) == result


def test_a_window_is_empty_until_the_first_write_and_once_it_has_passed() -> None:
    assert is_empty(empty_window(5), N)
    window = written(5, (0, 1.0))
    assert not is_empty(window, N + 5.9)
    assert is_empty(window, N + 6)


def test_nothing_written_is_no_load() -> None:
    assert average(empty_window(5), N) == weighted_average(empty_window(5), N) == 0


def test_resizing_before_the_first_write_leaves_an_empty_window() -> None:
    assert resized(empty_window(5), 7, N) == empty_window(7)


def test_quiet_seconds_written_as_zeros_lower_the_average_while_missing_ones_do_not() -> None:
    loaded = written(10, (0, 6.0), (1, 6.0))
    assert average(loaded, N + 3) == 6
    assert average(record(loaded, [(N + 2, 0.0), (N + 3, 0.0)]), N + 3) == 3


def test_a_window_longer_than_what_was_written_counts_the_seconds_written() -> None:
    assert average(counted(3600, 3), N + 2) == 2
