"""The loop: when functions tick and what is applied. No time passes here."""

from __future__ import annotations

import logging
import math
from dataclasses import replace

import pytest

from dilu.spec import function_spec
from dilu_autoscaler.loop import MIN_INTERVAL_S
from dilu_autoscaler.policy.horizontal import (
    Bounds,
    Decision,
    Observation,
    Policy,
    ScaleSpec,
    scale_spec_for,
)
from loop.scripted_world import World, made, paper, run_until, spec_of

# --- a function's life ------------------------------------------------------------------------------------------------


def test_a_function_goes_from_zero_up_and_back_to_zero(world: World) -> None:
    loop = made(world, paper("embed"))
    loop.run_due()
    assert loop.next_due_s() is None, "a quiet function at zero is never due"

    world.now_s, world.rps["embed"] = 2000.0, 25.0
    loop.poke("embed")
    run_until(loop, world, 2060.0)
    world.rps["embed"] = 0.0
    run_until(loop, world, 2500.0)
    assert world.log == [
        (2000.0, "embed", 1),
        (2020.0, "embed", 2),
        (2040.0, "embed", 3),
        (2091.0, "embed", 2),
        (2122.0, "embed", 1),
        (2162.0, "embed", 0),
    ]
    assert loop.next_due_s() is None


def test_a_poke_at_zero_is_decided_in_the_very_next_run(world: World) -> None:
    loop = made(world, paper("embed"))
    loop.run_due()
    world.rps["embed"] = 1.0
    loop.poke("embed")
    assert loop.next_due_s() == world.now_s
    (tick,) = loop.run_due()
    assert (tick.applied, tick.decision.replicas) == (True, 1)
    assert tick.decision.reason == "from zero: 1 waiting"


def test_kpa_runs_in_the_same_loop(world: World) -> None:
    loop = made(world, scale_spec_for(function_spec("embed", batch=1), "kpa"))
    loop.run_due()
    world.rps["embed"] = 50.0  # 5 in flight at 1.4 per replica
    loop.poke("embed")
    run_until(loop, world, 1070.0)
    assert world.replicas["embed"] >= 4
    world.rps["embed"] = 0.0
    run_until(loop, world, 1300.0)
    assert world.replicas["embed"] == 0
    assert loop.next_due_s() is None


def test_the_minimum_is_there_before_anything_is_known_of_the_load(world: World) -> None:
    loop = made(world, scale_spec_for(function_spec("embed", min_scale=2), "kpa"))
    (tick,) = loop.run_due()
    assert tick.decision.reason == "min-scale 2 instead of 0: hold: no data for more than 60 s"
    assert world.replicas["embed"] == 2


# --- when ------------------------------------------------------------------------------------------------------------


def test_nothing_ticks_before_it_is_due(world: World) -> None:
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=0, reason="", next_change_s=1007.0)))
    loop.run_due()
    world.now_s = 1006.999
    assert loop.run_due() == []
    assert world.observed == [(1000.0, "f")]
    world.now_s = 1007.0
    assert len(loop.run_due()) == 1


def test_the_earlier_of_the_next_sample_and_the_next_change_is_due(world: World) -> None:
    def decide(seen: Observation, now_s: float) -> Decision:
        return Decision(replicas=seen.desired, reason="", next_change_s=1000.4)

    world.rps, world.replicas = {"busy": 1.0}, {"busy": 1, "quiet": 1}
    loop = made(world, spec_of("quiet", decide))
    loop.run_due()
    assert loop.next_due_s() == 1000.4
    loop = made(world, spec_of("busy", lambda seen, now_s: Decision(replicas=1, reason="")))
    loop.run_due()
    assert loop.next_due_s() == 1001.0


def test_due_functions_tick_in_the_order_in_which_they_became_due(world: World) -> None:
    def due_at(at_s: float) -> ScaleSpec:
        return spec_of(f"due {at_s:g}", lambda seen, now_s: Decision(replicas=0, reason="", next_change_s=at_s))

    loop = made(world, due_at(1003.0), due_at(1001.0), due_at(1002.0))
    assert [tick.function for tick in loop.run_due()] == ["due 1003", "due 1001", "due 1002"], "as they were added"
    world.now_s = 1010.0
    assert [tick.function for tick in loop.run_due()] == ["due 1001", "due 1002", "due 1003"]


@pytest.mark.parametrize("time_s", [999.0, 1000.0, math.nan, -math.inf])
def test_a_next_change_that_is_not_ahead_does_not_make_it_spin(world: World, time_s: float) -> None:
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=0, reason="", next_change_s=time_s)))
    loop.run_due()
    assert loop.next_due_s() == 1000.0 + MIN_INTERVAL_S
    assert loop.run_due() == []


def test_many_pokes_make_one_tick(world: World) -> None:
    loop = made(world, paper("embed"))
    for _ in range(1000):
        loop.poke("embed")
    assert len(loop.run_due()) == 1
    assert loop.run_due() == []


def test_a_poke_brings_a_later_tick_forward_and_does_not_double_it(world: World) -> None:
    world.rps, world.replicas = {"embed": 5.0}, {"embed": 1}
    loop = made(world, paper("embed"))
    loop.run_due()
    world.now_s = 1000.5
    loop.poke("embed")
    run_until(loop, world, 1003.0)
    assert [now_s for now_s, _ in world.observed] == [1000.0, 1000.5, 1001.0, 1002.0, 1003.0]


def test_a_poke_from_within_apply_is_served_by_the_next_run(world: World) -> None:
    class PokingWorld(World):
        def apply(self, function: str, decision: Decision) -> None:
            super().apply(function, decision)
            loop.poke(function)

    poking = PokingWorld(rps={"embed": 1.0})
    loop = made(poking, paper("embed"))
    assert len(loop.run_due()) == 1
    assert len(loop.run_due()) == 1
    assert loop.next_due_s() == 1001.0
    assert poking.log == [(1000.0, "embed", 1)]


# --- what is applied -------------------------------------------------------------------------------------------------


def test_only_a_number_that_differs_from_the_recorded_one_is_applied(world: World) -> None:
    world.replicas["f"] = 3
    decisions = iter([3, None, 4, 4, 4])
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=next(decisions), reason="")))
    applied = []
    for _ in range(5):
        loop.poke("f")
        applied += [tick.applied for tick in loop.run_due()]
        world.now_s += 1
    assert applied == [False, False, True, False, False]
    assert world.log == [(1002.0, "f", 4)]


def applied_by(world: World, *decisions: Decision) -> list[Decision]:
    """Return the decisions that a loop applied of those that its policy made, one a second."""
    remaining = iter(decisions)
    loop = made(world, spec_of("f", lambda seen, now_s: next(remaining)))
    for _ in decisions:
        loop.poke("f")
        loop.run_due()
        world.now_s += 2.0
    return world.applied


def test_the_first_count_is_applied_though_it_is_the_desired_one_already(world: World) -> None:
    world.replicas["f"] = 3
    hold, three = Decision(replicas=None, reason="hold"), Decision(replicas=3, reason="three")
    assert applied_by(world, hold, three, three, hold) == [three]


def test_a_change_of_the_excess_burst_capacity_is_applied_though_the_count_stays(world: World) -> None:
    world.replicas["f"] = 3
    decisions = [
        Decision(replicas=replicas, reason="", excess_burst_capacity=excess)
        for replicas, excess in ((3, 5), (3, 5), (3, -2), (None, -2), (None, 4), (3, None))
    ]
    assert applied_by(world, *decisions) == [decisions[0], decisions[2], decisions[4], decisions[5]]


def test_whether_a_start_may_be_given_up_is_applied_when_it_changes(world: World) -> None:
    world.replicas["f"] = 1
    keep, give_up = Decision(replicas=1, reason=""), Decision(replicas=1, reason="", may_give_up=True)
    assert applied_by(world, keep, give_up, give_up, keep) == [keep, give_up, keep]


def test_an_applied_decision_is_logged_in_one_line(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="dilu_autoscaler.loop")
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=9, reason="load"), max_replicas=2))
    loop.run_due()
    assert caplog.messages == ["fn=f 0->2 reason=max-scale 2 instead of 9: load"]


def test_the_last_decision_is_kept_with_its_inputs(world: World) -> None:
    loop = made(world, paper("embed"))
    assert loop.last_tick("embed") is None
    world.rps["embed"] = 2.5
    (tick,) = loop.run_due()
    assert loop.last_tick("embed") is tick
    assert tick.seen is not None
    assert tick.seen.waiting == 3
    assert loop.last_tick("unknown") is None


# --- what was only just raised ---------------------------------------------------------------------------------------


def test_a_policy_that_takes_back_what_it_gave_cannot_flap_by_pokes(world: World) -> None:
    """The worst policy there is: it wants one replica at zero, and zero at one. Each change pokes it again."""
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=1 - seen.desired, reason="the other one")))
    for _ in range(1000):
        loop.run_due()
        loop.poke("f")
        world.now_s += 0.003
    assert [(round(now_s, 3), replicas) for now_s, _, replicas in world.log] == [
        (1000.0, 1),
        (1001.002, 0),
        (1001.005, 1),
        (1002.001, 0),  # within a second, but on a new sample
        (1002.004, 1),
    ]


def test_a_held_number_is_looked_at_again_when_its_second_is_over_without_a_poke(world: World) -> None:
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=1 - seen.desired, reason="the other one")))
    loop.run_due()
    loop.poke("f")
    loop.run_due()
    assert loop.next_due_s() == 1001.0
    world.now_s = 1001.0
    loop.run_due()
    assert world.replicas["f"] == 0


def test_a_policy_whose_decision_is_held_does_not_remember_it(world: World) -> None:
    policy = Policy(
        name="counting",
        settings_for=lambda function: None,
        initial_state=lambda settings, seen, now_s: 0,
        decide=lambda settings, seen, state, now_s: (Decision(replicas=1 - state, reason=f"state {state}"), state + 1),
    )
    loop = made(world, ScaleSpec(name="f", policy=policy, settings=None))
    reasons = []
    for _ in range(3):
        reasons += [tick.decision.reason for tick in loop.run_due()]
        loop.poke("f")
    assert reasons[0] == "state 0"
    assert reasons[1:] == ["hold: the count was raised 0.00 s ago, without a sample since; held back: state 1"] * 2


def test_a_lower_maximum_holds_at_once_also_for_what_was_only_just_raised(world: World) -> None:
    loop = made(world, spec_of("f", lambda seen, now_s: Decision(replicas=4, reason="")))
    loop.run_due()
    loop.update(spec_of("f", lambda seen, now_s: Decision(replicas=0, reason=""), max_replicas=2))
    loop.run_due()
    assert world.replicas["f"] == 2


# --- adding, changing, removing ---------------------------------------------------------------------------------------


def test_a_name_can_be_added_once_and_only_a_known_one_updated(world: World) -> None:
    loop = made(world, paper("embed"))
    with pytest.raises(ValueError, match="function 'embed' is in the loop already"):
        loop.add(paper("embed"))
    with pytest.raises(ValueError, match="function 'other' is not in the loop"):
        loop.update(paper("other"))


def test_an_update_is_due_at_once_and_keeps_the_history(world: World) -> None:
    world.rps, world.replicas = {"embed": 25.0}, {"embed": 1}
    loop = made(world, paper("embed", max_scale=1))
    run_until(loop, world, 1030.0)
    world.now_s = 1030.5
    loop.update(paper("embed", max_scale=4))
    run_until(loop, world, 1031.0)
    assert world.log == [(1031.0, "embed", 2)]


def test_another_policy_starts_without_the_old_ones_memory(world: World) -> None:
    world.rps, world.replicas = {"embed": 5.0}, {"embed": 1}
    loop = made(world, paper("embed"))
    run_until(loop, world, 1010.0)
    loop.update(scale_spec_for(function_spec("embed"), "kpa"))
    (tick,) = loop.run_due()
    assert not tick.failed
    assert loop.run_due() == []


def test_a_removed_function_never_ticks_again(world: World) -> None:
    world.rps, world.replicas = {"a": 5.0, "b": 5.0}, {"a": 1, "b": 1}
    loop = made(world, paper("a"), paper("b"))
    loop.run_due()
    loop.remove("a")
    loop.remove("a")
    loop.poke("a")
    run_until(loop, world, 1002.0)
    assert [name for now_s, name in world.observed if now_s > 1000.0] == ["b", "b"]
    loop.remove("b")
    assert loop.next_due_s() is None
    assert loop.last_tick("a") is None


def test_a_function_removed_by_another_ones_tick_is_not_ticked(world: World) -> None:
    def decide(seen: Observation, now_s: float) -> Decision:
        loop.remove("b")
        return Decision(replicas=0, reason="")

    loop = made(world, spec_of("a", decide), paper("b"))
    assert [tick.function for tick in loop.run_due()] == ["a"]


# --- replay ----------------------------------------------------------------------------------------------------------


def test_the_same_world_gives_the_same_log() -> None:
    def replay() -> list[tuple[float, str, int]]:
        world = World(rps={"a": 25.0, "b": 40.0}, replicas={"a": 1, "b": 2})
        loop = made(world, paper("a"), scale_spec_for(function_spec("b", batch=1), "kpa"))
        run_until(loop, world, 1100.0)
        world.rps = {"a": 0.0, "b": 3.0}
        run_until(loop, world, 1300.0)
        return world.log

    assert replay() == replay() != []


def test_a_quiet_function_costs_no_ticks(world: World) -> None:
    world.replicas = {f"f{i}": 1 for i in range(50)}
    specs = [replace(paper(name), bounds=Bounds()) for name in world.replicas]
    loop = made(world, *specs)
    run_until(loop, world, 5000.0)
    assert set(world.replicas.values()) == {0}
    assert len(world.observed) == 100, "once when added, once when the fortieth quiet second was over"
