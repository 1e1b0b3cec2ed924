"""A world in memory for the loop to run in, and the ways in which the tests set it up."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dilu.spec import function_spec
from dilu_autoscaler.loop import ScaleLoop
from dilu_autoscaler.policy.horizontal import (
    AnyPolicy,
    Bounds,
    Decision,
    Observation,
    Policy,
    Sample,
    ScaleSpec,
    scale_spec_for,
)


@dataclass(kw_only=True)
class World:
    """A source and an actuator in memory: each function has an arrival rate, and replicas that start at once."""

    now_s: float = 1000.0
    rps: dict[str, float] = field(default_factory=dict)
    replicas: dict[str, int] = field(default_factory=dict)
    learned_rps: float | None = 10.0
    unknown: set[str] = field(default_factory=set)
    broken: dict[str, Exception] = field(default_factory=dict)
    refusing: dict[str, Exception] = field(default_factory=dict)
    log: list[tuple[float, str, int]] = field(default_factory=list)
    """Changes of a count: when, whose, to what."""
    applied: list[Decision] = field(default_factory=list)
    observed: list[tuple[float, str]] = field(default_factory=list)
    told_s: dict[str, float] = field(default_factory=dict)

    def observe(self, function: str, now_s: float) -> Observation | None:
        self.observed.append((now_s, function))
        if function in self.broken:
            raise self.broken[function]
        if function in self.unknown:
            return None
        rps, desired = self.rps.get(function, 0.0), self.replicas.get(function, 0)
        start_s = self.told_s.get(function, now_s)
        elapsed = range(math.floor(start_s), math.floor(now_s))
        self.told_s[function] = now_s
        return Observation(
            samples=tuple(Sample(t_s=float(second), concurrency=rps / 10, rps=rps) for second in elapsed),
            ready=desired,
            desired=desired,
            waiting=math.ceil(rps) if desired == 0 else 0,
            learned_rps=self.learned_rps,
            next_sample_s=math.floor(now_s) + 1.0 if rps else None,
        )

    def apply(self, function: str, decision: Decision) -> None:
        if function in self.refusing:
            raise self.refusing[function]
        self.applied.append(decision)
        replicas = decision.replicas
        if replicas is not None and replicas != self.replicas.get(function, 0):
            self.replicas[function] = replicas
            self.log.append((self.now_s, function, replicas))


class Now:
    """The world's clock."""

    def __init__(self, world: World) -> None:
        self.world = world

    def now_s(self) -> float:
        return self.world.now_s


def made(world: World, *specs: ScaleSpec) -> ScaleLoop:
    loop = ScaleLoop(clock=Now(world), metrics=world, actuator=world)
    for spec in specs:
        loop.add(spec)
    return loop


def run_until(loop: ScaleLoop, world: World, end_s: float) -> None:
    """Does as an owner does: jumps from one due time to the next, and never calls in between."""
    while (due_s := loop.next_due_s()) is not None and due_s <= end_s:
        assert due_s >= world.now_s
        world.now_s = due_s
        assert loop.run_due(), "due, yet nothing ticked"
    world.now_s = end_s


def paper(name: str, **options: Any) -> ScaleSpec:
    return scale_spec_for(function_spec(name, **options), "dilu-paper")


Decide = Callable[[Observation, float], Decision]


def deciding(decide: Decide) -> AnyPolicy:
    """A policy without a memory."""
    return Policy(
        name="test",
        settings_for=lambda function: None,
        initial_state=lambda settings, seen, now_s: (),
        decide=lambda settings, seen, state, now_s: (decide(seen, now_s), state),
    )


def spec_of(name: str, decide: Decide, **bounds: int) -> ScaleSpec:
    return ScaleSpec(name=name, policy=deciding(decide), settings=None, bounds=Bounds(**bounds))
