"""Arrival processes: counts, spacing, determinism and bounds."""

from __future__ import annotations

import math
import statistics
from itertools import islice, pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu.load.arrivals import (
    Arrivals,
    RateArrivals,
    RecordedArrivals,
    bursty,
    constant,
    gamma,
    periodic,
    poisson,
    steps,
)
from dilu.load.rates import Flat, Wave


def times(arrivals: Arrivals, seed: int = 1) -> list[float]:
    return list(arrivals.times_s(Random(seed)))


def test_constant_requests_are_evenly_spaced_from_zero() -> None:
    assert times(constant(4, 1)) == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(
    ("rps", "duration_s", "count"),
    [(0, 10, 0), (1, 1, 1), (0.1, 30, 3), (0.7, 10, 7), (10, 0.05, 1), (3, 0.1, 1), (1000, 1, 1000), (1 / 3, 3, 1)],
)
def test_constant_counts_are_exact(rps: float, duration_s: float, count: int) -> None:
    assert len(times(constant(rps, duration_s))) == count


def test_a_very_high_rate_costs_nothing_until_it_is_drawn() -> None:
    assert list(islice(constant(1e9, 3600).times_s(Random(1)), 3)) == pytest.approx([0.0, 1e-9, 2e-9])


def test_a_pause_between_steps_holds_no_request() -> None:
    found = times(steps("20:5,0:10,50:5", cv=0.0))
    assert len([at_s for at_s in found if at_s < 5]) == 100
    assert not [at_s for at_s in found if 5 <= at_s < 15]
    assert len([at_s for at_s in found if at_s >= 15]) == 250
    assert found[100] == 15.0


def test_rounding_pulls_no_request_to_the_near_side_of_a_pause() -> None:
    # 0.1 + 0.2 = 0.30000000000000004: the fourth request must wait for the pause to end.
    found = times(steps("1:0.1,2:0.1,27:0.1,0:9,1:1", cv=0.0))
    assert found == pytest.approx([0.0, 0.2 + 0.7 / 27, 0.2 + 1.7 / 27, 9.3])


def test_spacing_goes_on_across_a_change_of_rate() -> None:
    # Half a request is left at 1 s; at twice the rate the rest of the gap takes half the time.
    assert times(steps("1.5:1,3:1", cv=0.0)) == pytest.approx([0.0, 2 / 3, 1 + 0.5 / 3, 1 + 1.5 / 3, 1 + 2.5 / 3])


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.0, 2.0, 4.0])
def test_gaps_have_the_asked_mean_and_cv(cv: float) -> None:
    gaps = [later - earlier for earlier, later in pairwise(times(gamma(100, 500, cv), seed=7))]
    assert statistics.fmean(gaps) == pytest.approx(0.01, rel=0.05)
    assert statistics.pstdev(gaps) / statistics.fmean(gaps) == pytest.approx(cv, rel=0.05, abs=1e-6)


def test_poisson_counts_per_second_vary_as_much_as_their_mean() -> None:
    counts = [0] * 2000
    for at_s in times(poisson(5, 2000), seed=3):
        counts[int(at_s)] += 1
    assert statistics.fmean(counts) == pytest.approx(5, rel=0.03)
    assert statistics.pvariance(counts) == pytest.approx(5, rel=0.06)


@pytest.mark.parametrize("cv", [0.3, 1.0, 5.0])
def test_the_first_second_holds_its_share_at_any_cv(cv: float) -> None:
    counts = [len(times(gamma(4, 1, cv), seed)) for seed in range(4000)]
    assert statistics.fmean(counts) == pytest.approx(4, rel=0.1)


def test_a_wave_swings_between_its_rates() -> None:
    counts = [0] * 40
    for at_s in times(periodic(10, 110, 20, 40, cv=0.0)):
        counts[int(at_s)] += 1
    for second, count in enumerate(counts):
        assert count == pytest.approx(60 - 50 * math.cos(2 * math.pi * (second + 0.5) / 20), abs=1.5)
    assert sum(counts) == pytest.approx(60 * 40, abs=1)


def test_phases_repeat_until_the_end() -> None:
    phases = (Flat(rps=0, duration_s=2), Flat(rps=10, duration_s=1))
    arrivals = bursty(phases, 7.5, cv=0.0)
    assert arrivals.duration_s == 7.5
    found = times(arrivals)
    assert {int(at_s) for at_s in found} == {2, 5}
    assert len(found) == 20


def test_the_same_seed_gives_the_same_times() -> None:
    arrivals = gamma(50, 10, 2)
    assert times(arrivals, 5) == times(arrivals, 5)
    assert times(arrivals, 5) != times(arrivals, 6)


def test_the_first_part_of_a_load_is_the_load_cut_off() -> None:
    whole = periodic(5, 50, 10, 30)
    assert times(whole.until(12)) == pytest.approx([at_s for at_s in times(whole) if at_s < 12])
    assert RecordedArrivals(at_s=(0.0, 1.0, 2.0)).until(2.0).at_s == (0.0, 1.0)


def test_recorded_times_come_as_they_are() -> None:
    assert times(RecordedArrivals(at_s=(0.0, 0.5, 0.5, 9.0))) == [0.0, 0.5, 0.5, 9.0]
    assert times(RecordedArrivals(at_s=())) == []


rates = st.floats(0, 200) | st.just(0.0)
flats = st.builds(lambda rps, duration_s: Flat(rps=rps, duration_s=duration_s), rates, st.floats(0.001, 3))
waves = st.builds(
    lambda low, more, period_s, duration_s: Wave(
        low_rps=low, high_rps=low + more, period_s=period_s, duration_s=duration_s
    ),
    rates,
    rates,
    st.floats(0.1, 10),
    st.floats(0.001, 3),
)
spacings = st.just(0.0) | st.just(1.0) | st.floats(0.001, 100)


@given(st.lists(flats | waves, max_size=4), spacings, st.integers(0, 10))
def test_times_are_sorted_within_the_duration_and_in_segments_with_a_rate(
    segments: list[Flat | Wave], cv: float, seed: int
) -> None:
    arrivals = RateArrivals(segments=tuple(segments), cv=cv)
    found = list(islice(arrivals.times_s(Random(seed)), 2000))
    assert found == sorted(found)
    assert all(0.0 <= at_s < arrivals.duration_s or math.isclose(at_s, arrivals.duration_s) for at_s in found)
    start_s = 0.0
    for segment in segments:
        end_s = start_s + segment.duration_s
        if segment.requests == 0.0:
            assert not [at_s for at_s in found if start_s <= at_s < end_s]
        start_s = end_s


@given(st.lists(flats | waves, max_size=4))
def test_even_spacing_gives_the_number_of_requests_under_the_rate(segments: list[Flat | Wave]) -> None:
    expected = math.fsum(segment.requests for segment in segments)
    assert abs(len(times(RateArrivals(segments=tuple(segments), cv=0.0))) - expected) <= 1.001


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(-1, 1), "rps = -1, must be a finite number of requests per second, 0 or more"),
        (lambda: constant(math.nan, 1), "rps = nan, must be a finite"),
        (lambda: constant(math.inf, 1), "rps = inf, must be a finite"),
        (lambda: poisson(1, 0), "duration = 0, must be a finite number of seconds above 0"),
        (lambda: poisson(1, math.nan), "duration = nan"),
        (lambda: gamma(1, 1, -0.5), "cv = -0.5, must be 0 (evenly spaced) or 0.001 to 100"),
        (lambda: gamma(1, 1, math.nan), "cv = nan"),
        (lambda: gamma(1, 1, 1e-200), "cv = 1e-200"),
        (lambda: periodic(5, 1, 10, 10), "low rps = 5, must be at most the high rps = 1"),
        (lambda: periodic(1, 5, 0, 10), "period = 0"),
        (lambda: bursty((), 10), "at least one phase"),
        (lambda: bursty((Flat(rps=1, duration_s=1e-6),), 1e6), "must be at most 1000000 phases"),
        (lambda: steps(""), "step 1 = '', must be RPS:SECONDS, as in 20:5"),
        (lambda: steps("20:5,30"), "step 2 = '30', must be RPS:SECONDS"),
        (lambda: steps("20:5,x:1"), "step 2 = 'x:1', must be RPS:SECONDS"),
        (lambda: steps("20:5,-3:1"), "step 2, '-3:1': rps = -3, must be a finite"),
        (lambda: RecordedArrivals(at_s=(1.0, 0.5)), "arrival 1 at 0.5 s, must be finite and not before 1 s"),
        (lambda: RecordedArrivals(at_s=(-1.0,)), "arrival 0 at -1 s"),
        (lambda: RecordedArrivals(at_s=(math.nan,)), "arrival 0 at nan s"),
    ],
)
def test_what_cannot_be_is_refused_by_value_and_rule(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(ConfigError) as caught:
        make()
    assert message in str(caught.value)
