"""From zero and back with replicas that take time to load: the loop, the policies and their pokes together."""

from __future__ import annotations

import pytest

from loop.loading_world import LoadingWorld

QUIET_S = {"dilu": 40, "dilu-paper": 40, "kpa": 60}
policies = pytest.mark.parametrize("policy", sorted(QUIET_S))


@policies
@pytest.mark.parametrize("load_s", [0.0, 0.18, 0.95, 3.0])
@pytest.mark.parametrize("past_s", [0.0, 0.1, 0.5, 0.9])
def test_two_requests_after_a_long_lull_start_one_replica_once(policy: str, load_s: float, past_s: float) -> None:
    came_s = 1100.0 + past_s
    world = LoadingWorld(load_s=load_s, gives_up_s=120.0, requests_s=[1000.05, came_s, came_s + 0.02])
    world.run(policy, 1099.0)
    assert world.desired == 0
    world.log.clear()
    world.started = 0
    world.run(policy, 1400.0)
    assert world.served == 3
    assert [replicas for _, replicas in world.log][-1] == 0
    assert world.started <= 2, "kpa may want one for each that waits"
    ups_and_downs = [replicas for _, replicas in world.log]
    assert ups_and_downs == sorted(ups_and_downs[:-2]) + ups_and_downs[-2:], "up, and down only at the end"
    assert world.log[-1][0] >= came_s + QUIET_S[policy]


@policies
@pytest.mark.parametrize("load_s", [30.0, 119.0, 121.0, 170.0, 1000.0])
def test_a_slow_model_comes_up_though_its_request_gave_up(policy: str, load_s: float) -> None:
    world = LoadingWorld(load_s=load_s, gives_up_s=120.0, requests_s=[1100.5])
    world.run(policy, 1100.5 + load_s + 300.0)
    assert world.started == 1
    assert [replicas for _, replicas in world.log] == [1, 0]
    ready_s = 1100.5 + load_s
    assert QUIET_S[policy] - 1 <= world.log[1][0] - ready_s <= QUIET_S[policy] + 2


@policies
def test_a_model_that_loads_without_requests_costs_next_to_no_ticks(policy: str) -> None:
    world = LoadingWorld(load_s=10_000.0, gives_up_s=0.3, requests_s=[1100.5])
    world.run(policy, 10_000.0)
    assert world.desired == 1
    assert world.ticks < 100


@policies
def test_a_second_request_finds_the_slow_model(policy: str) -> None:
    world = LoadingWorld(load_s=170.0, gives_up_s=120.0, requests_s=[1100.5, 1280.0])
    world.run(policy, 1300.0)
    assert (world.gave_up, world.served, world.started) == (1, 1, 1)
