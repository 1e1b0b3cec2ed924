"""A function whose load and queue are flows, second by second, with the truth about its replicas in the test's hand."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from dilu.spec import function_spec
from dilu_autoscaler.policy.horizontal import AnyPolicy, Bounds, Observation, Sample, bounded
from dilu_autoscaler.policy.horizontal.dilu_target.settings import target_settings_for
from dilu_autoscaler.policy.horizontal.registry import policy_named


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """What a function is, and what is said of it."""

    replica_rps: float = 10.0
    slo_s: float = 1.0
    batch: int = 1
    cold_start_s: int = 10
    annotated_rps: float | None = 10.0
    reports_throughput: bool = True
    """Whether its runtime says what a replica has shown."""
    refuses: bool = True
    """Whether what would be late is refused; else it waits and is answered late."""
    min_replicas: int = 0
    max_replicas: int | None = None


@dataclass(slots=True)
class World:
    """One function under load."""

    function: Function
    ready: int = 1
    queue: float = 0.0
    requests: float = 0.0
    missed: float = 0.0
    replica_s: int = 0
    due: deque[int] = field(default_factory=deque)

    def second(self, at_s: int, arrivals: float) -> Observation:
        """Pass one second in which those requests come."""
        one = self.function
        self._bring_up(at_s)
        capacity, batch_s = self.ready * one.replica_rps, one.batch / one.replica_rps
        in_time = capacity * max(0.0, one.slo_s - batch_s)
        was_late = self.queue > in_time
        left = max(0.0, self.queue + arrivals - capacity)
        served = self.queue + arrivals - left
        kept = min(left, in_time) if one.refuses else left
        missed = left - kept if one.refuses else (served if was_late else 0.0)
        concurrency = served * batch_s + (self.queue + kept) / 2
        self.queue = kept
        return self._seen(at_s, arrivals, missed, concurrency)

    def closed_second(self, at_s: int, clients: int) -> Observation:
        """Pass one second in which each client sends its next request when it has its answer."""
        one = self.function
        self._bring_up(at_s)
        rps = min(self.ready * one.replica_rps, clients * one.replica_rps / one.batch)
        is_late = rps == 0 or clients / rps > one.slo_s + 1e-9
        return self._seen(at_s, rps, rps if is_late else 0.0, float(clients))

    def scale_to(self, replicas: int, at_s: int) -> bool:
        """Start or stop replicas; return whether that changed anything."""
        before = self.ready + len(self.due)
        while self.ready + len(self.due) < replicas:
            self.due.append(at_s + self.function.cold_start_s)
        while self.ready + len(self.due) > replicas:
            if self.due:
                self.due.pop()
            else:
                self.ready -= 1
        return before != replicas

    def _bring_up(self, at_s: int) -> None:
        while self.due and self.due[0] <= at_s:
            self.due.popleft()
            self.ready += 1

    def _seen(self, at_s: int, rps: float, missed: float, concurrency: float) -> Observation:
        self.requests += rps
        self.missed += missed
        replicas = self.ready + len(self.due)
        self.replica_s += replicas
        return Observation(
            samples=(Sample(t_s=float(at_s), concurrency=concurrency, rps=rps, missed=missed),),
            ready=self.ready,
            starting=len(self.due),
            desired=replicas,
            waiting=0 if self.ready else math.ceil(concurrency),
            learned_rps=self.function.replica_rps if self.function.reports_throughput else None,
        )

    @property
    def miss_ratio(self) -> float:
        """Share of the requests that missed their objective."""
        return self.missed / self.requests if self.requests else 0.0


def with_target(target_ratio: float) -> AnyPolicy:
    """`dilu-target` with that target."""

    def settings_for(function: Any) -> Any:
        return replace(target_settings_for(function), target_ratio=target_ratio)

    return replace(policy_named("dilu-target"), settings_for=settings_for)


@dataclass(frozen=True, slots=True, kw_only=True)
class Second:
    """One second of a run."""

    ready: int
    replicas: int
    miss_ratio: float
    reason: str


Step = Callable[[World, int], Observation]


def scaled(policy: AnyPolicy, world: World, steps: Iterable[Step]) -> list[Second]:
    """Let the policy scale the world through these seconds."""
    one = world.function
    bounds = Bounds(min_replicas=one.min_replicas, max_replicas=one.max_replicas)
    settings = policy.settings_for(
        function_spec(
            "function",
            slo_ms=one.slo_s * 1000,
            batch=one.batch,
            rps_request=one.annotated_rps,
            rps_limit=one.annotated_rps,
            min_scale=one.min_replicas,
            max_scale=one.max_replicas,
        )
    )
    state, log = None, []
    for at_s, step in enumerate(steps):
        seen = step(world, at_s)
        now_s = at_s + 1.0
        if state is None:
            state = policy.initial_state(settings, seen, now_s)
        decision, state = policy.decide(settings, seen, state, now_s)
        decision = bounded(decision, bounds, desired=seen.desired)
        if decision.replicas is not None:
            world.scale_to(decision.replicas, at_s + 1)
        sample = seen.samples[0]
        missed = (sample.missed or 0.0) / sample.rps if sample.rps else 0.0
        log.append(Second(ready=seen.ready, replicas=seen.desired, miss_ratio=missed, reason=decision.reason))
    return log


def poisson(rng: Random, rps: float) -> int:
    """Requests of one second."""
    if rps > 200:
        return max(0, round(rng.gauss(rps, math.sqrt(rps))))
    limit, count, product = math.exp(-rps), 0, rng.random()
    while product > limit:
        count += 1
        product *= rng.random()
    return count


def arrivals(seed: int, *parts: tuple[int, float]) -> list[Step]:
    """Poisson arrivals: (seconds, requests per second) one after the other."""
    rng = Random(seed)
    return [_step(float(poisson(rng, rps))) for seconds, rps in parts for _ in range(seconds)]


def _step(requests: float) -> Step:
    return lambda world, at_s: world.second(at_s, requests)


def need(function: Function, rps: float, target_ratio: float, seed: int) -> int:
    """The least fixed number of replicas that meets the target at that constant rate."""
    replicas = max(1, int(0.8 * rps / function.replica_rps))
    while True:
        world = World(function, ready=replicas)
        for at_s, step in enumerate(arrivals(seed, (600, rps))):
            step(world, at_s)
        if world.miss_ratio <= 1 - target_ratio:
            return replicas
        replicas += 1
