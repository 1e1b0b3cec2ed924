"""Dilu's own horizontal rule: it spends what the paper's rule would, and spends it better."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    Bounds,
    Observation,
    Sample,
)
from dilu_autoscaler.policy.horizontal.demand import UNKNOWN_THROUGHPUT
from dilu_autoscaler.policy.horizontal.dilu.paper_shadow import PaperShadow, shadow_after
from dilu_autoscaler.policy.horizontal.dilu.prices import MAX_STARTS, MAX_TIME_S, MAX_UNMET, credit_now
from dilu_autoscaler.policy.horizontal.dilu.rule import capacity_now_rps
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_autoscaler.policy.horizontal.dilu_paper import DiluPaperSpec
from policy.replayed_seconds import decisions_on, replicas_on

BOUNDS = Bounds(min_replicas=1)
DILU = CoscaleSpec(rps_limit=50.0, slo_s=0.25, bounds=BOUNDS)
PAPER = DiluPaperSpec(rps_limit=50.0, min_replicas=1)


def starts_of(numbers: list[int]) -> int:
    return sum(max(0, now - before) for before, now in zip([1, *numbers], numbers, strict=False))


@given(
    st.lists(
        st.tuples(st.floats(min_value=0, max_value=400), st.integers(min_value=1, max_value=60)),
        min_size=1,
        max_size=8,
    )
)
def test_the_shadow_is_the_papers_rule(phases: list[tuple[float, int]]) -> None:
    rates = [rps for rps, seconds in phases for _ in range(seconds)]
    shadow, numbers = PaperShadow(replicas=1), []
    for rps in rates:
        shadow = shadow_after(shadow, rps, 50.0, BOUNDS)
        numbers.append(shadow.replicas)
    assert numbers == replicas_on("dilu-paper", PAPER, rates)
    assert shadow.starts == starts_of(numbers)
    assert shadow.replica_s == sum([1, *numbers[:-1]])


def test_a_rise_starts_a_replica_before_the_papers_rule_does_where_that_is_on_its_way_too() -> None:
    assert replicas_on("dilu", DILU, [120.0] * 20) == [1] * 5 + [2] * 15
    following = replace(DILU, leads=False)
    assert replicas_on("dilu", following, [120.0] * 20) == [1] * 19 + [2]


def test_without_a_budget_it_goes_out_by_the_right_number_and_in_after_it_was_kept() -> None:
    free = CoscaleSpec(rps_limit=50.0, bounds=BOUNDS, keeps_budget=False)
    numbers = replicas_on("dilu", free, [180.0] * 8 + [40.0] * 80)
    assert numbers[:8] == [1, 1, 3, 3, 3, 3, 3, 3]
    assert numbers[8:].count(3) > 20
    assert numbers[-1] == 1
    one_by_one = replace(free, right_number=False)
    assert replicas_on("dilu", one_by_one, [180.0] * 8) == [1, 1, 2, 2, 3, 3, 3, 3]


def test_what_waits_beyond_the_objective_is_demand_too() -> None:
    free = replace(DILU, keeps_budget=False)
    # 45 requests a second need one replica; of 225 in flight one replica can answer 12.5 in time.
    assert replicas_on("dilu", free, [45.0] * 5, in_flight_s=5.0)[-1] == 2
    assert replicas_on("dilu", replace(free, counts_backlog=False), [45.0] * 5, in_flight_s=5.0)[-1] == 1


def test_a_load_far_beyond_what_there_is_is_answered_at_once_whatever_was_spent() -> None:
    assert replicas_on("dilu", DILU, [1e6] * 3)[-1] >= 1e6 / 50.0 / 8


def test_a_replica_is_planned_for_what_its_node_can_grant_now() -> None:
    spec = CoscaleSpec(rps_limit=56.0, rps_request=28.0)
    seen = [Observation(ready=1, desired=1, grantable_rps=grantable_rps) for grantable_rps in (None, 10.0, 40.0, 90.0)]
    assert [capacity_now_rps(spec, one) for one in seen] == [56.0, 28.0, 40.0, 56.0]
    assert {capacity_now_rps(replace(spec, spends_headroom=False), one) for one in seen} == {56.0}
    assert [capacity_now_rps(CoscaleSpec(), one) for one in seen] == [None, 10.0, 40.0, 90.0]


def bursts(seed: int) -> list[float]:
    rng, load = Random(seed), list[float]()
    while len(load) < 900:
        load += [rng.uniform(0, 300)] * rng.randint(3, 60)
    return [max(0.0, rps + rng.gauss(0, 15)) for rps in load]


@pytest.mark.parametrize("seed", range(8))
def test_it_costs_about_what_the_papers_rule_costs(seed: int) -> None:
    load = bursts(seed)
    numbers, paper = replicas_on("dilu", DILU, load), replicas_on("dilu-paper", PAPER, load)
    assert sum(numbers) <= 1.03 * sum(paper) + 60
    assert starts_of(numbers) <= starts_of(paper) + 3


@pytest.mark.parametrize(("starts", "replica_s", "unmet"), [(0, 0, 0.0), (10**6, 10**8, 1e9)])
def test_what_was_saved_or_owed_long_ago_does_not_count(starts: int, replica_s: int, unmet: float) -> None:
    rule = POLICIES["dilu"]
    seen = Observation(samples=(Sample(t_s=0.0, concurrency=1.0, rps=10.0),), ready=1, desired=1)
    shadow = PaperShadow(replicas=1, starts=5_000, replica_s=500_000, unmet=5_000.0)
    state = rule.initial_state(DILU, seen, 1.0)._replace(shadow=shadow, starts=starts, replica_s=replica_s, unmet=unmet)
    _, after = rule.decide(DILU, seen, state, 1.0)
    credit = credit_now(DILU, after.shadow, starts=after.starts, replica_s=after.replica_s, unmet=after.unmet)
    assert abs(credit.starts) <= MAX_STARTS
    assert abs(credit.time_s) <= MAX_TIME_S + 1
    assert abs(credit.unmet) <= MAX_UNMET


def test_the_last_replica_goes_after_forty_quiet_seconds_and_comes_back_for_who_asks() -> None:
    to_zero = CoscaleSpec(rps_limit=50.0)
    assert replicas_on("dilu", to_zero, [1.0] + [0.0] * 40 + [1.0]) == [1] * 40 + [0, 1]
    assert replicas_on("dilu", DILU, [1.0] + [0.0] * 60) == [1] * 61


def test_who_waits_at_zero_gets_a_replica_at_once() -> None:
    rule = POLICIES["dilu"]
    seen = Observation(ready=0, desired=0, waiting=3)
    decision, _ = rule.decide(DILU, seen, rule.initial_state(DILU, seen, 1.0), 1.0)
    assert decision.replicas == 1


def test_while_no_throughput_is_known_it_comes_from_zero_and_goes_back() -> None:
    unknown = CoscaleSpec()
    assert replicas_on("dilu", unknown, [0.0, 3.0, *[0.0] * 60], replicas=0)[:2] == [0, 1]
    assert replicas_on("dilu", unknown, [3.0, *[0.0] * 60], replicas=4)[-1] == 0
    assert replicas_on("dilu", replace(unknown, bounds=BOUNDS), [3.0, *[0.0] * 60])[-1] == 1


def test_the_reason_says_what_was_spent() -> None:
    decision = decisions_on("dilu", DILU, [120.0] * 3)[-1]
    assert decision.reason == (
        "steady: 120.0 rps at 50.0 each, above all for 3 s; 0 starts, the paper's rule 0; "
        "3 replica seconds, it 3 (1 now)"
    )
    seen = Observation(samples=(Sample(t_s=0.0, concurrency=1.0, rps=1.0),), ready=1, desired=1)
    rule = POLICIES["dilu"]
    held, _ = rule.decide(CoscaleSpec(), seen, rule.initial_state(CoscaleSpec(), seen, 1.0), 1.0)
    assert held.reason == UNKNOWN_THROUGHPUT


@pytest.mark.parametrize(
    "settings",
    [{"rps_request": -1.0}, {"time_ratio": 0.0}, {"time_ratio": float("nan")}, {"slo_s": 0.0}],
)
def test_settings_of_the_rule_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        CoscaleSpec(**settings)  # type: ignore[arg-type]  # each of these settings is a number
