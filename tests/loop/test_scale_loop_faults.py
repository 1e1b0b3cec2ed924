"""The loop when sources, policies, actuators or the clock misbehave: no fault of one function touches another."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from dilu.spec import function_spec
from dilu_autoscaler.loop import LONGEST_FAILURE_RETRY_S, Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation, scale_spec_for
from dilu_autoscaler.policy.horizontal.kpa import rule as kpa
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec
from dilu_autoscaler.policy.horizontal.kpa.state import KpaState
from loop.scripted_world import World, made, paper, run_until

# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_raising_source_is_logged_with_the_name_and_stops_nobody_else(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.rps, world.replicas = {"a": 5.0, "b": 5.0}, {"a": 1, "b": 1}
    world.broken["a"] = OSError("no route to gateway")
    loop = made(world, paper("a"), paper("b"))
    broken, healthy = loop.run_due()
    assert (broken.failed, broken.decision.replicas, healthy.failed) == (True, None, False)
    assert broken.decision.reason == "hold: failed with OSError: no route to gateway; again in 1 s"
    assert caplog.messages == ["fn=a hold: failed with OSError: no route to gateway; again in 1 s"]
    assert caplog.records[0].exc_info is not None


def test_a_failed_function_is_tried_again_later_and_later_but_not_for_ever_later(world: World) -> None:
    world.broken["a"] = OSError("down")
    loop = made(world, paper("a"))
    run_until(loop, world, 1100.0)
    times = [now_s for now_s, _ in world.observed]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == [1.0, 2.0, 4.0, 8.0, LONGEST_FAILURE_RETRY_S, LONGEST_FAILURE_RETRY_S] + [15.0] * (len(waits) - 6)

    del world.broken["a"]
    world.rps["a"] = 1.0
    run_until(loop, world, 1116.0)
    assert world.replicas["a"] == 1
    world.broken["a"] = OSError("down again")
    loop.poke("a")
    (tick,) = loop.run_due()
    assert tick.decision.next_change_s == 1117.0, "a success begins anew at the first wait"


def test_pokes_do_not_make_a_failing_function_run_more_often(world: World) -> None:
    world.broken["a"] = OSError("down")
    loop = made(world, paper("a"))
    loop.run_due()
    for _ in range(100):
        loop.poke("a")
        world.now_s += 0.005
        loop.run_due()
    assert len(world.observed) == 1


def test_a_raising_policy_keeps_its_state_and_goes_on_with_the_next_sample(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    spec = scale_spec_for(function_spec("embed", batch=1), "kpa")

    def decide(settings: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> tuple[Decision, KpaState]:
        if any(math.isnan(sample.rps) for sample in seen.samples):
            raise ValueError("cannot be counted")
        return kpa.decide(settings, seen, state, now_s)

    loop = made(world, replace(spec, policy=replace(spec.policy, decide=decide)))
    run_until(loop, world, 1010.0)
    world.rps["embed"] = math.nan  # the policy raises, and the sample is not remembered
    world.now_s = 1011.0
    (tick,) = loop.run_due()
    assert tick.failed
    world.rps["embed"] = 25.0
    run_until(loop, world, 1013.0)
    last = loop.last_tick("embed")
    assert last is not None
    assert not last.failed
    assert last.decision.stable == 2.307692  # 2.5 in twelve of thirteen seconds: the one that failed is missing


def test_a_raising_actuator_gets_the_same_decision_again(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    loop = made(world, paper("embed"))
    run_until(loop, world, 1019.5)
    world.refusing["embed"] = RuntimeError("disk full")
    run_until(loop, world, 1020.5)
    tick = loop.last_tick("embed")
    assert tick is not None
    assert tick.failed
    assert tick.seen is not None
    del world.refusing["embed"]
    run_until(loop, world, 1022.0)
    assert world.log == [(1021.0, "embed", 2)]


def test_no_observation_holds_and_asks_again(world: World) -> None:
    world.replicas["embed"], world.unknown = 3, {"embed"}
    loop = made(world, paper("embed"))
    (tick,) = loop.run_due()
    assert tick == Tick(
        function="embed",
        now_s=1000.0,
        seen=None,
        decision=Decision(replicas=None, reason="hold: nothing is known of its load or replicas", next_change_s=1001.0),
    )
    run_until(loop, world, 1003.0)
    assert len(world.observed) == 4
    assert world.log == []


# --- the clock -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["dilu", "dilu-paper", "kpa"])
@pytest.mark.parametrize("step_s", [-3600.0, -1.0, 3600.0], ids=lambda step_s: f"{step_s:+g} s")
def test_a_clock_that_jumps_scales_nothing_down_and_stops_nothing(world: World, policy: str, step_s: float) -> None:
    world.now_s, world.rps, world.replicas = 10_000.0, {"embed": 25.0}, {"embed": 1}
    loop = made(world, scale_spec_for(function_spec("embed", batch=1, rps_limit=10), policy))
    run_until(loop, world, 10_100.0)
    before = world.replicas["embed"]
    assert before >= 2

    world.log.clear()
    world.now_s += step_s
    world.told_s["embed"] = world.now_s  # nothing is known of seconds that never were
    jumped_s = world.now_s
    for second in range(200):  # an owner that waited for a length of time, not for a time of day
        world.now_s = jumped_s + second
        loop.run_due()
    assert all(replicas >= before for _, _, replicas in world.log)
    assert world.replicas["embed"] >= before
    late = [now_s for now_s, _ in world.observed if jumped_s + 5 <= now_s < jumped_s + 200]
    assert len(late) >= 95, "it ticks on, at the pace of its samples or of KPA"

    world.rps["embed"] = 0.0
    run_until(loop, world, world.now_s + 300)
    assert world.replicas["embed"] == 0


def test_a_clock_set_back_is_said_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    loop = made(world, paper("embed"))
    loop.run_due()
    world.now_s = 400.0
    assert len(loop.run_due()) == 1
    assert loop.run_due() == []
    assert caplog.messages == ["the clock went back by 600.0 s: every function starts afresh"]
