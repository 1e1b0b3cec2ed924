"""One function under one workload: plain cases with known answers."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals, RecordedArrivals, constant, poisson, steps
from dilu_autoscaler.policy.horizontal import POLICIES, Decision, Observation, Policy, Sample
from dilu_simulator.single_function import SingleResult, SingleRun, simulate_single


def run(arrivals: Arrivals, policy: str = "dilu-paper", **settings: Any) -> SingleResult:
    return simulate_single(SingleRun(policy=POLICIES[policy], **{"capacity_rps": 56.0, **settings}), arrivals)


def test_a_load_within_the_capacity_of_one_replica_is_served_by_it_in_time() -> None:
    result = run(constant(50, 100))
    assert (result.requests, result.slo_violation_ratio, result.cold_starts) == (5000, 0.0, 0)
    assert result.instance_seconds == 100.0
    assert result.p95_ms is not None
    assert 71.0 < result.p95_ms < 250.0


@pytest.mark.parametrize("admits_by_slo", [True, False])
def test_policies_see_each_request_that_missed_its_objective(admits_by_slo: bool) -> None:
    seen: list[Sample] = []

    def decide(spec: object, observation: Observation, state: object, now_s: float) -> tuple[Decision, object]:
        seen.extend(observation.samples)
        return Decision(replicas=None, reason="watch", next_change_s=now_s + 1.0), 1

    policy = Policy(name="watch", settings_for=lambda spec: spec, initial_state=lambda *_: 1, decide=decide)
    single = SingleRun(policy=policy, capacity_rps=56.0, admits_by_slo=admits_by_slo, slo_ms=250.0)
    result = simulate_single(single, steps("80:20,0:20"))
    missed = sum(sample.missed or 0.0 for sample in seen)
    assert missed > 300
    assert missed == round(result.slo_violation_ratio * result.requests)


def test_one_request_takes_one_batch() -> None:
    result = run(RecordedArrivals(at_s=(0.0, 5.0)))
    assert (result.requests, result.slo_violation_ratio, result.cold_starts) == (2, 0.0, 0)
    assert result.instance_seconds == 5.0
    assert result.p95_ms == pytest.approx(4000 / 56, rel=1e-3)


def test_what_is_not_answered_a_day_after_the_workload_is_a_violation() -> None:
    result = run(constant(5, 1), cold_start_s=1e9, min_replicas=0, warm_replicas=0)
    assert (result.requests, result.slo_violation_ratio, result.cold_starts, result.p95_ms) == (5, 1.0, 1, None)


def test_a_policy_that_fails_ends_the_simulation() -> None:
    def broken(*_: object) -> Any:
        raise OverflowError("too many")

    policy = replace(POLICIES["kpa"], decide=broken)
    with pytest.raises(RuntimeError, match=r"function, at .* OverflowError: too many"):
        simulate_single(SingleRun(policy=policy, capacity_rps=56.0), constant(5, 10))


def test_no_request_at_all_is_no_violation() -> None:
    result = run(constant(0, 60))
    assert result == SingleResult(
        requests=0, slo_violation_ratio=0.0, cold_starts=0, instance_seconds=60.0, p95_ms=None
    )


def test_twice_the_capacity_of_the_only_replica_loses_half_at_once_and_all_but_the_first_in_a_queue() -> None:
    overload = constant(112, 100)
    refusing = run(overload, max_replicas=1)
    assert refusing.slo_violation_ratio == pytest.approx(0.5, abs=0.01)
    assert refusing.p95_ms is not None
    assert refusing.p95_ms <= 250.0
    waiting = run(overload, max_replicas=1, admits_by_slo=False)
    assert waiting.slo_violation_ratio > 0.99
    assert waiting.p95_ms is not None
    assert waiting.p95_ms > 90_000


def test_the_paper_goes_out_after_twenty_seconds_and_the_replica_loads_for_ten() -> None:
    result = run(constant(112, 60))
    assert result.cold_starts == 1
    assert result.instance_seconds == 60.0 + 40.0
    assert result.slo_violation_ratio == pytest.approx(0.25, abs=0.01)


def test_a_second_of_many_requests_is_counted_to_the_last_one() -> None:
    result = run(steps("200000:1,0:9", cv=0.0), max_replicas=1)
    assert result.requests == 200_000
    assert result.slo_violation_ratio == pytest.approx(1.0, abs=1e-3)


def test_a_first_request_starts_a_replica_from_zero_and_waits_for_it() -> None:
    result = run(RecordedArrivals(at_s=(1.0, 1.1, 20.0)), warm_replicas=0, min_replicas=0)
    assert (result.requests, result.cold_starts) == (3, 1)
    assert result.slo_violation_ratio == pytest.approx(2 / 3)
    assert result.instance_seconds == pytest.approx(19.0, abs=1e-3)


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_the_same_seed_gives_the_same_result_and_another_seed_another_one(policy: str) -> None:
    load = poisson(70, 120)
    assert run(load, policy, seed=3) == run(load, policy, seed=3)
    assert run(load, policy, seed=3) != run(load, policy, seed=4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"capacity_rps": 0.0}, "capacity = 0.0, must be a finite number above 0"),
        ({"slo_ms": float("nan")}, "slo = nan, must be a finite number above 0"),
        ({"cold_start_s": -1.0}, "cold start = -1.0 s, must be 0 or more"),
        ({"capacity_rps": 1e9}, "capacity = 1e+09 rps, a batch of 4 would take less than 1 µs"),
        ({"capacity_rps": 1e-9}, "capacity = 1e-09 rps, a batch of 4 would take over a day"),
        ({"warm_replicas": 10**7}, "warm replicas = 10000000, must be from 0 to 100,000"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        run(constant(1, 1), **settings)
