"""The ingredients of Dilu's own rule: each switch changes something, none breaks a promise."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import msgspec
import pytest

from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    Bounds,
    Observation,
    Sample,
)
from dilu_autoscaler.policy.horizontal.dilu.periodicity import NO_RHYTHM, Rhythm
from dilu_autoscaler.policy.horizontal.dilu.rule import CoscaleState
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_simulator.trials.fluid_world import Trial, tried
from dilu_simulator.trials.loads import CAPACITY_RPS, FAMILIES, load_rps

DILU = POLICIES["dilu"]
SPEC = CoscaleSpec(rps_limit=CAPACITY_RPS, slo_s=0.25, bounds=Bounds(min_replicas=1))
TRIAL = Trial(capacity_rps=CAPACITY_RPS)


@pytest.mark.parametrize(
    "switch", ["keeps_budget", "leads", "right_number", "learns_gaps", "forecasts", "counts_starting"]
)
def test_each_switch_changes_what_is_decided(switch: str) -> None:
    loads = [load_rps(family, seed) for family in ("bursty", "clocked", "on-off") for seed in (1, 2)]
    without = replace(SPEC, **{switch: False})  # type: ignore[arg-type]  # each of these settings is a switch
    assert [tried(DILU, TRIAL, load, SPEC) for load in loads] != [tried(DILU, TRIAL, load, without) for load in loads]


def test_a_learned_cold_start_time_changes_what_is_decided() -> None:
    slow, load = Trial(capacity_rps=CAPACITY_RPS, cold_start_s=40), load_rps("clocked", 3)
    without = replace(SPEC, learns_cold_start=False)
    assert tried(DILU, slow, load, SPEC) != tried(DILU, slow, load, without)


def asked_at_random(rps: float, seed: int, seconds: int = 14_400) -> list[float]:
    rng, load, at_s = Random(seed), [0.0] * seconds, 0.0
    while (at_s := at_s + rng.expovariate(rps)) < seconds:
        load[int(at_s)] += 1.0
    return load


@pytest.mark.parametrize("rps", [0.01, 0.03, 0.05])
def test_where_requests_come_at_random_the_last_replica_is_not_let_go_before_the_papers_rule_does(rps: float) -> None:
    to_zero = Trial(capacity_rps=CAPACITY_RPS, min_replicas=0)
    for seed in range(2):
        load = asked_at_random(rps, seed)
        ours, paper = tried(DILU, to_zero, load), tried(POLICIES["dilu-paper"], to_zero, load)
        assert ours.cold_starts <= paper.cold_starts
        assert ours.violation_ratio <= paper.violation_ratio
        assert ours.replica_s <= 1.01 * paper.replica_s


def test_where_no_request_returns_for_an_hour_the_last_replica_stops_at_once() -> None:
    to_zero = Trial(capacity_rps=CAPACITY_RPS, min_replicas=0)
    hourly = ([80.0] * 60 + [0.0] * 3540) * 12
    ours, paper = tried(DILU, to_zero, hourly), tried(POLICIES["dilu-paper"], to_zero, hourly)
    assert ours.cold_starts <= paper.cold_starts
    assert ours.replica_s < 0.95 * paper.replica_s


def test_more_replica_time_to_spend_means_fewer_violations() -> None:
    loads = [load_rps(family, seed) for family in ("bursty", "steps") for seed in range(4)]
    ratios, seconds = [], []
    for time_ratio in (0.98, 1.1, 1.4):
        outcomes = [tried(DILU, TRIAL, load, replace(SPEC, time_ratio=time_ratio)) for load in loads]
        ratios.append(sum(outcome.violation_ratio for outcome in outcomes))
        seconds.append(sum(outcome.replica_s for outcome in outcomes))
    assert ratios == sorted(ratios, reverse=True)
    assert seconds == sorted(seconds)


def after(load: list[float], spec: CoscaleSpec = SPEC) -> tuple[CoscaleState, int]:
    """The state and the replicas after that load, with replicas that are ready at once."""
    state, replicas = None, 1
    for second, rps in enumerate(load):
        sample = Sample(t_s=float(second), concurrency=rps / 10, rps=rps)
        seen = Observation(samples=(sample,), ready=replicas, desired=replicas)
        state = DILU.initial_state(spec, seen, second + 1.0) if state is None else state
        decision, state = DILU.decide(spec, seen, state, second + 1.0)
        replicas = replicas if decision.replicas is None else decision.replicas
    assert state is not None
    return state, replicas


@pytest.mark.parametrize("family", ["clocked", "periodic", "diurnal"])
def test_a_forecast_never_means_fewer_replicas(family: str) -> None:
    load, forecasts = load_rps(family, 5), 0
    for seconds in range(300, 900, 7):
        state, replicas = after(load[:seconds])
        forecasts += state.rhythm.period > 0
        sample = Sample(t_s=float(seconds), concurrency=load[seconds] / 10, rps=load[seconds])
        seen = Observation(samples=(sample,), ready=replicas, desired=replicas)
        known, _ = DILU.decide(SPEC, seen, state, seconds + 1.0)
        unknown, _ = DILU.decide(SPEC, seen, state._replace(rhythm=NO_RHYTHM), seconds + 1.0)
        assert known.replicas is not None
        assert unknown.replicas is not None
        assert known.replicas >= unknown.replicas
    assert forecasts or family == "diurnal"


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_memory_has_a_bound_and_is_plain(family: str) -> None:
    state, _ = after(load_rps(family, 1, 3000))
    as_json = msgspec.json.encode(state)
    assert len(as_json) < 12_000
    assert msgspec.json.decode(as_json, type=CoscaleState) == state


def test_what_needs_no_second_replica_never_gets_one() -> None:
    rng = Random(1)
    load = [rng.uniform(0, 0.95) * CAPACITY_RPS for _ in range(600)]
    outcome = tried(DILU, TRIAL, load)
    assert (outcome.cold_starts, outcome.replica_s) == (0, 600)
    assert isinstance(after(load)[0].rhythm, Rhythm)
