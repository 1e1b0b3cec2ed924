"""Excess burst capacity, against the numbers of Knative's own tests (A, D)."""

from __future__ import annotations

import math

import pytest

from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import (
    excess_burst_capacity,
    first_excess_burst_capacity,
    has_crossed_zero,
)
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, KpaSpec


@pytest.mark.parametrize(
    ("target", "burst", "ready", "panic", "excess"),
    [
        pytest.param(10, 100, 1, 50, -137, id="A1"),
        pytest.param(10, 100, 1, 99, -186, id="A2"),
        pytest.param(10, 101, 1, 10, -98, id="A3"),
        pytest.param(10, 75, 1, 0, -62, id="A9"),
        pytest.param(181, UNLIMITED_BURST, 1, 26, -1, id="A14"),
        pytest.param(1, 100, 5, 30, -124, id="A17"),
        pytest.param(1, 1982, 2, 3.1, -1983, id="A20"),
        pytest.param(10, 1982, 100, 1, -650, id="A21"),
        pytest.param(10, 61, 10, 1001, -929, id="A25"),
        pytest.param(10, 81, 0, 888, -969, id="A28"),
        pytest.param(1, 101, 1296, 1296, 331, id="B3"),
        pytest.param(10, 0, 7, 888, 0, id="no burst target"),
    ],
)
def test_the_excess_is_what_the_ready_take_beyond_burst_and_load(
    target: float, burst: float, ready: int, panic: float, excess: int
) -> None:
    spec = KpaSpec(target=target, total=target / 0.75, target_burst_capacity=burst)
    assert excess_burst_capacity(spec, ready=ready, panic=panic) == excess


@pytest.mark.parametrize(
    ("burst", "initial", "total", "excess"),
    [
        pytest.param(42, 2, 25, 8, id="D 154"),
        pytest.param(UNLIMITED_BURST, 2, 25, -1, id="D 181"),
        pytest.param(0, 2, 25, 0, id="D 84"),
        pytest.param(42.5, 1, 25, -17, id="cut off towards zero"),
    ],
)
def test_d_the_excess_before_the_first_evaluation(burst: float, initial: int, total: float, excess: int) -> None:
    spec = KpaSpec(total=total, target_burst_capacity=burst)
    assert first_excess_burst_capacity(spec, initial_scale=initial) == excess


@pytest.mark.parametrize(
    ("before", "after", "crossed"),
    [
        (1982, 1984, False),
        (-1984, -1988, False),
        (-1988, 2006, True),
        (0, 1, False),
        (0, -42, True),
        (1, -1, True),
    ],
)
def test_d_zero_counts_as_an_excess(before: int, after: int, crossed: bool) -> None:
    assert has_crossed_zero(before, after) is crossed
    assert has_crossed_zero(after, before) is crossed


@pytest.mark.parametrize(
    ("total", "burst", "excess"),
    [(1e12, 1.0, 2**31 - 1), (1.0, 1e12, -(2**31)), (math.nextafter(0, 1), 1.0, -1)],
    ids=["above", "below", "least"],
)
def test_numbers_that_knative_cannot_count_stop_at_its_largest(total: float, burst: float, excess: int) -> None:
    spec = KpaSpec(total=total, target_burst_capacity=burst)
    assert excess_burst_capacity(spec, ready=1, panic=0.0) == excess
    assert first_excess_burst_capacity(spec, initial_scale=1) == excess
