"""Dilu's own horizontal rule: it spends what the paper's rule would, and spends it better."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu_autoscaler.policy import POLICIES, Bounds, Observation, Sample
from dilu_autoscaler.policy.coscale_spec import CoscaleSpec
from dilu_autoscaler.policy.dilu_paper import DiluPaperSpec
from dilu_autoscaler.policy.paper_shadow import PaperShadow, shadow_after
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


def test_a_first_rise_starts_a_replica_when_the_papers_rule_does() -> None:
    assert replicas_on("dilu", DILU, [120.0] * 20) == [1] * 19 + [2]


def test_a_start_may_lead_the_papers_where_that_is_allowed() -> None:
    leading = CoscaleSpec(rps_limit=50.0, bounds=BOUNDS, lead_starts=1)
    assert replicas_on("dilu", leading, [120.0] * 20) == [1] * 7 + [2] * 13


def test_without_a_budget_it_goes_out_by_the_right_number_and_in_after_its_keep_alive() -> None:
    free = CoscaleSpec(rps_limit=50.0, bounds=BOUNDS, keeps_budget=False, keep_s=10.0)
    numbers = replicas_on("dilu", free, [180.0] * 5 + [40.0] * 20)
    assert numbers[:5] == [1, 1, 1, 1, 4]
    assert numbers.index(1, 5) == 15
    one_by_one = CoscaleSpec(rps_limit=50.0, bounds=BOUNDS, keeps_budget=False, right_number=False)
    assert replicas_on("dilu", one_by_one, [180.0] * 8) == [1, 1, 1, 1, 2, 3, 4, 4]


def test_what_waits_beyond_the_objective_is_demand_too() -> None:
    free = CoscaleSpec(rps_limit=50.0, slo_s=0.25, bounds=BOUNDS, keeps_budget=False)
    # 45 requests a second need one replica; of 225 in flight one replica can answer 12.5 in time.
    assert replicas_on("dilu", free, [45.0] * 5, in_flight_s=5.0)[-1] == 2
    blind = CoscaleSpec(rps_limit=50.0, slo_s=0.25, bounds=BOUNDS, keeps_budget=False, counts_backlog=False)
    assert replicas_on("dilu", blind, [45.0] * 5, in_flight_s=5.0)[-1] == 1


def test_bought_back_starts_are_paid_for_with_saved_replica_time() -> None:
    # Three replicas at first: the lull is long enough to let two go, too short for the paper's rule to do so.
    load = ([40.0] * 27 + [140.0] * 13) * 12
    with_returns = replicas_on("dilu", DILU, load, replicas=3)
    without = replicas_on(
        "dilu", CoscaleSpec(rps_limit=50.0, slo_s=0.25, bounds=BOUNDS, returns=False), load, replicas=3
    )
    paper = replicas_on("dilu-paper", PAPER, load, replicas=3)
    assert sum(without) <= sum(with_returns) <= sum(paper)


def bursts(seed: int) -> list[float]:
    rng, load = Random(seed), list[float]()
    while len(load) < 900:
        load += [rng.uniform(0, 300)] * rng.randint(3, 60)
    return [max(0.0, rps + rng.gauss(0, 15)) for rps in load]


@pytest.mark.parametrize("seed", range(8))
def test_it_costs_about_what_the_papers_rule_costs(seed: int) -> None:
    load = bursts(seed)
    numbers, paper = replicas_on("dilu", DILU, load), replicas_on("dilu-paper", PAPER, load)
    assert sum(numbers) <= 1.03 * sum(paper) + 40
    bought = max(0.0, sum(paper) - sum(numbers)) / 30.0
    assert starts_of(numbers) <= starts_of(paper) + 3 + bought


def test_the_last_replica_goes_after_forty_quiet_seconds_and_comes_back_for_who_asks() -> None:
    to_zero = CoscaleSpec(rps_limit=50.0)
    assert replicas_on("dilu", to_zero, [1.0] + [0.0] * 40 + [1.0]) == [1] * 40 + [0, 1]
    assert replicas_on("dilu", DILU, [1.0] + [0.0] * 60) == [1] * 61


def test_who_waits_at_zero_gets_a_replica_at_once() -> None:
    rule = POLICIES["dilu"]
    seen = Observation(ready=0, desired=0, waiting=3)
    decision, _ = rule.decide(DILU, seen, rule.initial_state(DILU, seen, 1.0), 1.0)
    assert decision.replicas == 1


def test_the_reason_says_what_was_spent() -> None:
    decision = decisions_on("dilu", DILU, [120.0] * 3)[-1]
    assert decision.reason == (
        "0 needed for 120.0 rps at 50.0 each; 0 starts, the paper's rule 0; 3 replica seconds, it 3 (1 now)"
    )
    seen = Observation(samples=(Sample(t_s=0.0, concurrency=1.0, rps=1.0),), ready=1, desired=1)
    rule = POLICIES["dilu"]
    held, _ = rule.decide(CoscaleSpec(), seen, rule.initial_state(CoscaleSpec(), seen, 1.0), 1.0)
    assert held.reason == "hold: the throughput of one replica is not known: no rps-limit, and nothing learned yet"


@pytest.mark.parametrize("settings", [{"lead_starts": -1}, {"time_ratio": 0.0}, {"keep_s": float("nan")}])
def test_settings_of_the_rule_that_cannot_be_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        CoscaleSpec(**settings)  # type: ignore[arg-type]  # wrong on purpose
