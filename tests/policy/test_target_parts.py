"""The parts of `dilu-target`, each by values."""

from __future__ import annotations

import math
from random import Random

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal import Observation, Sample
from dilu_autoscaler.policy.horizontal.dilu_target.arrival_rate import (
    AVERAGE_S,
    NO_ARRIVALS,
    SURE,
    ArrivalRate,
    rate_after,
)
from dilu_autoscaler.policy.horizontal.dilu_target.attainment import (
    MEMORY_S,
    NOTHING_MISSED,
    Attainment,
    attainment_after,
    budget_used,
    price_of_a_miss,
)
from dilu_autoscaler.policy.horizontal.dilu_target.cold_starts import cold_starts_after, cold_starts_first
from dilu_autoscaler.policy.horizontal.dilu_target.gaps import NO_GAPS, gaps_with, keep_s
from dilu_autoscaler.policy.horizontal.dilu_target.need import need_of_the_waiting, steady_need
from dilu_autoscaler.policy.horizontal.dilu_target.period import MAX_LAG, NO_PERIOD, expected_rps, period_after
from dilu_autoscaler.policy.horizontal.dilu_target.settings import TargetSettings
from dilu_autoscaler.policy.horizontal.dilu_target.throughput import ShownThroughput, shown_after
from policy.flow_world import poisson


def rate_of(seconds: list[float]) -> ArrivalRate:
    rate = NO_ARRIVALS
    for rps in seconds:
        rate = rate_after(rate, rps)
    return rate


def test_a_steady_rate_is_averaged_and_its_dispersion_is_that_of_poisson_arrivals() -> None:
    rng = Random(4)
    rate = rate_of([float(poisson(rng, 50.0)) for _ in range(1000)])
    assert rate.seconds == AVERAGE_S
    assert rate.mean_rps == pytest.approx(50.0, abs=SURE * math.sqrt(50.0 / AVERAGE_S))
    assert 0.5 < rate.dispersion < 1.6


def test_evenly_spaced_arrivals_have_no_dispersion() -> None:
    assert rate_of([50.0] * 1000).dispersion < 0.01


@pytest.mark.parametrize(("step", "known_after_s"), [(100.0, 2), (12.0, 4), (8.0, 8), (6.0, 16)])
def test_small_steps_are_told_from_noise_later(step: float, known_after_s: int) -> None:
    before = ArrivalRate((50.0,) * 16, 50.0, AVERAGE_S, 0.25)  # two standard deviations of a second are 7
    rate, seconds = before, 0
    while rate.seconds == AVERAGE_S:
        rate, seconds = rate_after(rate, 50.0 + step), seconds + 1
    assert seconds <= known_after_s
    assert rate.mean_rps > 50.0 + step / 3


def test_a_change_down_is_a_change_too() -> None:
    assert rate_of([100.0] * 60 + [10.0] * 2).mean_rps == 10.0


def test_attainment_forgets_over_its_memory() -> None:
    one = attainment_after(NOTHING_MISSED, 100.0, 50.0)
    assert one.ratio == 0.5
    for _ in range(int(3 * MEMORY_S)):
        one = attainment_after(one, 100.0, 0.0)
    assert one.ratio > 0.9999
    assert NOTHING_MISSED.ratio == 1.0


def test_more_missed_than_came_is_nothing_in_time() -> None:
    assert attainment_after(NOTHING_MISSED, 10.0, 25.0).ratio == 0.0


def test_the_price_of_a_miss_rises_with_what_was_missed_up_to_its_bound() -> None:
    prices = [price_of_a_miss(used, 0.95) for used in (0.0, 0.5, 1.0, 2.0, 10.0)]
    assert prices == sorted(prices)
    assert prices[0] == 0.0
    assert prices[-1] == pytest.approx(1 / 0.05)
    assert budget_used(Attainment(), 0.95) == 1.0


@pytest.mark.parametrize(
    ("gap_s", "return_cost_s", "kept"), [(10.0, 30.0, True), (10.0, 5.0, False), (300.0, 500.0, True)]
)
def test_what_comes_back_soon_is_kept(gap_s: float, return_cost_s: float, kept: bool) -> None:
    gaps = NO_GAPS
    for _ in range(10):
        gaps = gaps_with(gaps, gap_s)
    assert (keep_s(gaps, return_cost_s) >= gap_s) == kept


def test_a_gap_that_is_longer_than_any_edge_is_counted() -> None:
    assert sum(gaps_with(NO_GAPS, 1e9)) == 1.0
    assert keep_s(gaps_with(NO_GAPS, 1e9), 1e6) == 0.0


def test_with_nothing_seen_it_is_kept_for_what_a_return_costs() -> None:
    assert keep_s(NO_GAPS, 42.0) == 42.0


def test_one_cold_start_is_learned_from_when_it_was_first_seen() -> None:
    known = cold_starts_first(Observation(ready=1, desired=1))
    known = cold_starts_after(known, Observation(ready=1, starting=2, desired=3), 100.0)
    known = cold_starts_after(known, Observation(ready=1, starting=2, desired=3), 110.0)
    known = cold_starts_after(known, Observation(ready=2, starting=1, desired=3), 137.0)
    assert known.last_s == 37.0
    assert known.begun_s == (100.0,)


def test_of_several_that_become_ready_at_once_the_last_to_begin_counts() -> None:
    known = cold_starts_first(Observation(ready=1, desired=1))
    known = cold_starts_after(known, Observation(ready=1, starting=1, desired=2), 100.0)
    known = cold_starts_after(known, Observation(ready=1, starting=2, desired=3), 104.0)
    assert cold_starts_after(known, Observation(ready=3, desired=3), 114.0).last_s == 10.0


def test_a_start_that_was_given_up_is_no_cold_start() -> None:
    known = cold_starts_first(Observation(ready=1, desired=1))
    known = cold_starts_after(known, Observation(ready=1, starting=1, desired=2), 100.0)
    after = cold_starts_after(known, Observation(ready=1, desired=1), 103.0)
    assert after.last_s == known.last_s
    assert after.begun_s == ()


NEED = {"replica_rps": 10.0, "miss_ratio": 0.02, "used": 1.0}


def test_the_need_has_a_margin_for_variation() -> None:
    even, poisson_like, clumped = (
        steady_need(ArrivalRate((), 70.0, 60, dispersion), wait_s=0.5, **NEED) for dispersion in (0.0, 1.0, 9.0)
    )
    assert even == 7.0
    assert 7.2 < poisson_like < 8.0
    assert clumped > poisson_like + 1


def test_who_may_wait_longer_needs_a_smaller_margin() -> None:
    rate = ArrivalRate((), 70.0, 60, 1.0)
    assert steady_need(rate, wait_s=5.0, **NEED) < steady_need(rate, wait_s=0.1, **NEED)


def test_the_margin_goes_back_where_less_is_missed_than_may_be() -> None:
    rate = ArrivalRate((), 70.0, 60, 1.0)
    unused = steady_need(rate, replica_rps=10.0, wait_s=0.5, miss_ratio=0.02, used=0.0)
    assert unused == 7.0
    assert steady_need(rate, replica_rps=10.0, wait_s=0.5, miss_ratio=0.02, used=5.0) == steady_need(
        rate, wait_s=0.5, **NEED
    )


WAITING = {"replica_rps": 10.0, "slo_s": 1.0, "clear_s": 20.0}


@pytest.mark.parametrize(
    ("rps", "in_flight", "before", "ready", "want"),
    [
        (20.0, 20.0, 20.0, 2, 0.0),  # they can be answered in time
        (20.0, 21.0, 21.0, 2, 2.1),  # a closed loop: 21 / (10 rps x 1 s)
        (20.0, 500.0, 500.0, 2, 4.0),  # a closed loop is approached by doubling
        (80.0, 200.0, 140.0, 2, (80.0 + 180.0 / 20.0) / 10.0),  # a queue that grows is worked off beside what comes
        (0.0, 500.0, 500.0, 0, (0.0 + 490.0 / 20.0) / 10.0),  # no replica is ready: not a closed loop
    ],
)
def test_what_waits_needs_replicas(rps: float, in_flight: float, before: float, ready: int, want: float) -> None:
    found = need_of_the_waiting(rps=rps, in_flight=in_flight, in_flight_before=before, ready=ready, **WAITING)
    assert found == pytest.approx(want)


def seen(rps: float, concurrency: float, missed: float | None = None) -> Sample:
    return Sample(t_s=0.0, rps=rps, concurrency=concurrency, missed=missed)


@pytest.mark.parametrize(
    ("sample", "before", "ready", "want"),
    [
        (seen(50.0, 90.0), ShownThroughput(None, 60.0), 2, 10.0),  # 30 of 50 stay longer than the objective
        (seen(50.0, 90.0), ShownThroughput(30.0, 60.0), 2, 20.0),  # halfway to what was shown before
        (seen(50.0, 8.0, 30.0), ShownThroughput(None, 8.0), 2, 10.0),  # both are busy, and 30 were refused
        (seen(50.0, 7.0, 30.0), ShownThroughput(None, 7.0), 2, None),  # refused by a replica that was not busy
        (seen(100.0, 10.0, 0.0), ShownThroughput(None, 10.0), 2, 50.0),  # more than is annotated
        (seen(60.0, 10.0, 0.0), ShownThroughput(None, 10.0), 2, None),  # no more than is annotated
        (seen(60.0, 10.0), ShownThroughput(None, 10.0), 0, None),
    ],
)
def test_replicas_show_their_throughput(
    sample: Sample, before: ShownThroughput, ready: int, want: float | None
) -> None:
    after = shown_after(before, sample, ready=ready, batch=4, slo_s=1.0, known_rps=40.0)
    assert after.rps == want
    assert after.in_flight == sample.concurrency


def load(at_s: int, period_s: int) -> float:
    return 30.0 + 25.0 * math.cos(math.tau * at_s / period_s)


@pytest.mark.parametrize("period_s", [60, 240, 1800])
def test_a_period_is_found_and_says_what_is_due(period_s: int) -> None:
    known, at_s = NO_PERIOD, 0
    while not known.period and at_s < 8 * MAX_LAG * 16:
        known = period_after(known, load(at_s, period_s))
        at_s += 1
    for _ in range(3 * period_s):
        known = period_after(known, load(at_s, period_s))
        at_s += 1
    assert known.period * known.step_s == pytest.approx(period_s, rel=0.1)
    ahead = expected_rps(known, 10.0, 10.0 + known.step_s)
    assert ahead
    assert max(known.steps_rps) <= 56.0  # a step that became twice as long has a mean, no sum
    assert min(ahead) == pytest.approx(load(at_s + 10, period_s), abs=8.0)


def test_steps_that_become_twice_as_long_keep_their_mean() -> None:
    known = NO_PERIOD
    while known.step_s == NO_PERIOD.step_s:
        known = period_after(known, 10.0)
    assert known.step_s == 2 * NO_PERIOD.step_s
    assert len(known.steps_rps) == MAX_LAG
    assert set(known.steps_rps) == {10.0}


def test_noise_has_no_period() -> None:
    rng, known, found = Random(2), NO_PERIOD, 0
    for _ in range(2000):
        known = period_after(known, max(0.0, rng.gauss(30.0, 5.0)))
        found += known.period > 0
    assert found < 60
    assert expected_rps(NO_PERIOD, 0.0, 10.0) == []


@pytest.mark.parametrize("target", [0.0, 1.0, -0.5, 98.0, float("nan")])
def test_a_target_that_is_no_share_is_refused(target: float) -> None:
    with pytest.raises(ConfigError, match=r"slo-target = .*, must be above 0 and below 1, such as 0\.98"):
        TargetSettings(target_ratio=target)
