"""The loop when sources, policies, actuators or the clock misbehave: no fault of one function touches another."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest

from dilu.spec import function_spec
from dilu_autoscaler.loop import MAX_FAILURE_RETRY_S, MAX_UNDECIDED, Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation, ScaleSpec, scale_spec_for
from dilu_autoscaler.policy.horizontal.kpa import rule as kpa
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec
from dilu_autoscaler.policy.horizontal.kpa.state import KpaState
from loop.scripted_world import World, made, paper, run_until

# --- faults ----------------------------------------------------------------------------------------------------------


def test_a_raising_source_is_logged_with_the_name_and_stops_no_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.rps, world.replicas = {"a": 5.0, "b": 5.0}, {"a": 1, "b": 1}
    world.broken["a"] = OSError("no route to gateway")
    loop = made(world, paper("a"), paper("b"))
    broken, healthy = loop.run_due()
    assert (broken.failed, broken.decision.replicas, healthy.failed) == (True, None, False)
    assert broken.decision.reason == "hold: failed with OSError: no route to gateway; retry 1 in 1 s"
    assert caplog.messages == ["fn=a hold: failed with OSError: no route to gateway; retry 1 in 1 s"]
    assert caplog.records[0].exc_info is not None


def test_a_failed_function_is_tried_again_later_and_later_with_a_limit(world: World) -> None:
    world.broken["a"] = OSError("down")
    loop = made(world, paper("a"))
    run_until(loop, world, 1100.0)
    times = [now_s for now_s, _ in world.observed]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert waits == [1.0, 2.0, 4.0, 8.0, MAX_FAILURE_RETRY_S, MAX_FAILURE_RETRY_S] + [15.0] * (len(waits) - 6)

    del world.broken["a"]
    world.rps["a"] = 1.0
    run_until(loop, world, 1116.0)
    assert world.replicas["a"] == 1
    world.broken["a"] = OSError("down again")
    loop.poke("a")
    (tick,) = loop.run_due()
    assert tick.decision.next_change_s == 1117.0, "a success starts again at the first wait"


def test_pokes_do_not_make_a_failing_function_run_more_often(world: World) -> None:
    world.broken["a"] = OSError("down")
    loop = made(world, paper("a"))
    loop.run_due()
    for _ in range(100):
        loop.poke("a")
        world.now_s += 0.005
        loop.run_due()
    assert len(world.observed) == 1


def kpa_that_reads_no_nan(function: str) -> ScaleSpec:
    def decide(settings: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> tuple[Decision, KpaState]:
        if any(math.isnan(sample.rps) for sample in seen.samples):
            raise ValueError("cannot be counted")
        return kpa.decide(settings, seen, state, now_s)

    spec = scale_spec_for(function_spec(function, batch=1), "kpa")
    return replace(spec, policy=replace(spec.policy, decide=decide))


def test_samples_that_a_raising_policy_did_not_decide_on_come_again_with_the_next_ones(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    failing = iter([False] * 10 + [True, True])
    spec = scale_spec_for(function_spec("embed", batch=1), "kpa")
    seen_samples: list[tuple[float, ...]] = []

    def decide(settings: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> tuple[Decision, KpaState]:
        seen_samples.append(tuple(sample.t_s for sample in seen.samples))
        if next(failing, False):
            raise ValueError("for a moment")
        return kpa.decide(settings, seen, state, now_s)

    loop = made(world, replace(spec, policy=replace(spec.policy, decide=decide)))
    run_until(loop, world, 1014.0)
    assert seen_samples[9:] == [(1008.0,), (1009.0,), (1009.0, 1010.0), (1009.0, 1010.0, 1011.0, 1012.0), (1013.0,)]
    last = loop.last_tick("embed")
    assert last is not None
    assert last.decision.stable == 2.5  # of each second, none is missing


def test_a_sample_that_the_policy_cannot_read_is_dropped_after_three_tries(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    loop = made(world, kpa_that_reads_no_nan("embed"))
    run_until(loop, world, 1010.0)
    world.rps["embed"] = math.nan
    world.now_s = 1011.0
    assert [tick.failed for tick in loop.run_due()] == [True]
    world.rps["embed"] = 25.0
    run_until(loop, world, 1013.9)  # fails at 1011 and 1012, and again at 1014
    assert loop.next_due_s() == 1014.0
    run_until(loop, world, 1014.0)
    last = loop.last_tick("embed")
    assert last is not None
    assert last.failed
    run_until(loop, world, 1018.0)
    last = loop.last_tick("embed")
    assert last is not None
    assert last.seen is not None
    assert not last.failed
    assert [sample.t_s for sample in last.seen.samples] == [1014.0, 1015.0, 1016.0, 1017.0]


def test_a_raising_actuator_loses_no_sample_however_long_it_fails(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    loop = made(world, paper("embed", rps_limit=10))
    world.refusing["embed"] = RuntimeError("disk full")
    run_until(loop, world, 1060.0)
    failed = loop.last_tick("embed")
    assert failed is not None
    assert failed.failed
    del world.refusing["embed"]
    run_until(loop, world, 1080.0)
    decided = next(tick for tick in world.applied if tick.replicas == 2)
    assert decided.reason == "out: 40 of the last 40 samples above 1 x 10.0 rps, limit 20"


def test_samples_kept_while_ticks_fail_are_bounded(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    loop = made(world, paper("embed", rps_limit=10))
    world.refusing["embed"] = RuntimeError("disk full")
    run_until(loop, world, 1000.0 + 2 * MAX_UNDECIDED)
    last = loop.last_tick("embed")
    assert last is not None
    assert last.seen is not None
    assert len(last.seen.samples) == MAX_UNDECIDED
    assert last.seen.samples[-1].t_s == math.floor(last.now_s) - 1


def test_kept_samples_of_another_time_are_dropped_when_the_clock_goes_back(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    loop = made(world, paper("embed", rps_limit=10))
    world.refusing["embed"] = RuntimeError("disk full")
    run_until(loop, world, 1020.0)
    world.now_s = 500.0
    world.told_s["embed"] = 499.0
    (tick,) = loop.run_due()
    assert tick.seen is not None
    assert [sample.t_s for sample in tick.seen.samples] == [499.0]


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
        decision=Decision(replicas=None, reason="hold: no data on its load or its replicas", next_change_s=1001.0),
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
