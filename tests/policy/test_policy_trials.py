"""The loads and the world of seconds that policies are compared in."""

from __future__ import annotations

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal import POLICIES
from dilu_simulator.trials.fluid_world import Trial, TrialOutcome, tried
from dilu_simulator.trials.loads import CAPACITY_RPS, FAMILIES, load_rps
from dilu_simulator.trials.shapes import Shape, shape_rps

TRIAL = Trial(capacity_rps=CAPACITY_RPS)
PAPER = POLICIES["dilu-paper"]


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_and_a_seed_give_one_load(family: str) -> None:
    load = load_rps(family, 3, 200)
    assert load == load_rps(family, 3, 200)
    assert load != load_rps(family, 4, 200)
    assert len(load) == 200
    assert min(load) >= 0


def test_what_one_replica_takes_needs_no_other() -> None:
    assert tried(PAPER, TRIAL, [50.0] * 100) == TrialOutcome(violation_ratio=0.0, cold_starts=0, replica_s=100)


def test_the_papers_rule_goes_out_after_twenty_seconds_and_the_replica_loads_for_ten() -> None:
    outcome = tried(PAPER, TRIAL, [112.0] * 60)
    assert (outcome.cold_starts, outcome.replica_s) == (1, 60 + 40)
    assert outcome.violation_ratio == pytest.approx(0.25, abs=0.01)


def test_without_a_maximum_of_replicas_there_are_as_many_as_decided() -> None:
    crowd = [300.0] * 200
    assert tried(POLICIES["eager"], TRIAL, crowd).violation_ratio < 0.1
    assert tried(POLICIES["eager"], Trial(capacity_rps=CAPACITY_RPS, max_replicas=2), crowd).violation_ratio > 0.5


@pytest.mark.parametrize("capacity_rps", [10.0, CAPACITY_RPS, 500.0])
def test_what_is_in_flight_follows_the_capacity_so_that_kpa_reaches_the_replicas_that_a_load_needs(
    capacity_rps: float,
) -> None:
    outcome = tried(POLICIES["kpa"], Trial(capacity_rps=capacity_rps), [7.2 * capacity_rps] * 300)
    assert outcome.violation_ratio < 0.05
    assert 8 * 280 < outcome.replica_s < 12 * 300


SHAPE = Shape(
    base=0.5, high=2.0, on_s=20.0, off_s=30.0, regular_ratio=1.0, rise_s=1.0, noise=0.0, wave=0.0, wave_s=100.0
)


def test_a_shape_is_the_load_that_it_says() -> None:
    load = shape_rps(SHAPE)
    assert load[:60] == [28.0] * 30 + [140.0] * 20 + [28.0] * 10
    assert len(load) == SHAPE.seconds


def test_a_shape_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="must last"):
        Shape(base=0, high=1, on_s=0.5, off_s=1, regular_ratio=1, rise_s=1, noise=0, wave=0, wave_s=1)
