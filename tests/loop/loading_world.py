"""A world whose replicas take time to load, driven as one machine does it: everything that happens pokes the loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dilu.spec import function_spec
from dilu_autoscaler.loop import ScaleLoop
from dilu_autoscaler.policy.horizontal import (
    Decision,
    Observation,
    Sample,
    scale_spec_for,
)


@dataclass(slots=True)
class _Replica:
    ready_at_s: float
    is_ready: bool = False


@dataclass(kw_only=True)
class LoadingWorld:
    """One function: requests wait until a replica is ready or they give up; a served one takes no time."""

    load_s: float
    gives_up_s: float
    requests_s: list[float]
    """When requests come, ascending."""
    now_s: float = 1000.0
    desired: int = 0
    replicas: list[_Replica] = field(default_factory=list)
    waiting: list[float] = field(default_factory=list)
    """When each one that waits came."""
    served: int = 0
    gave_up: int = 0
    started: int = 0
    log: list[tuple[float, int]] = field(default_factory=list)
    ticks: int = 0
    _told_s: int = 1000
    _arrivals: dict[int, int] = field(default_factory=dict)
    _busy_s: dict[int, float] = field(default_factory=dict)

    def observe(self, function: str, now_s: float) -> Observation:
        elapsed, self._told_s = range(self._told_s, math.floor(now_s)), math.floor(now_s)
        samples = tuple(
            Sample(t_s=float(t), concurrency=self._busy_s.get(t, 0.0), rps=float(self._arrivals.get(t, 0)))
            for t in elapsed
        )
        ready = sum(replica.is_ready for replica in self.replicas)
        is_quiet = not self.waiting and not self._arrivals.get(math.floor(now_s))
        return Observation(
            samples=samples,
            ready=ready,
            starting=len(self.replicas) - ready,
            desired=self.desired,
            waiting=0 if ready else len(self.waiting),
            next_sample_s=None if is_quiet else math.floor(now_s) + 1.0,
        )

    def apply(self, function: str, decision: Decision) -> None:
        if decision.replicas in (None, self.desired):
            return
        assert decision.replicas is not None
        self.desired = decision.replicas
        self.log.append((self.now_s, self.desired))
        while len(self.replicas) < self.desired:
            self.started += 1
            self.replicas.append(_Replica(self.now_s + self.load_s))
        del self.replicas[self.desired :]

    def run(self, policy: str, until_s: float) -> None:
        """Everything that happens until then, in order."""
        loop = ScaleLoop(clock=_Now(self), metrics=self, actuator=self)
        loop.add(scale_spec_for(function_spec("f", batch=1), policy))
        while (next_s := self._next_s(loop.next_due_s())) <= until_s:
            self._pass_to(next_s)
            if self._happens():
                loop.poke("f")
            changes = len(self.log)
            self.ticks += len(loop.run_due())
            if len(self.log) > changes:  # what it starts and stops pokes too
                loop.poke("f")
            assert self.ticks < 5000, f"it spins: {self.log[-6:]}"

    def _next_s(self, due_s: float | None) -> float:
        times = [replica.ready_at_s for replica in self.replicas if not replica.is_ready]
        times += [came_s + self.gives_up_s for came_s in self.waiting[:1]] + self.requests_s[:1]
        return min(times + ([] if due_s is None else [due_s]), default=math.inf)

    def _pass_to(self, next_s: float) -> None:
        """Time passes; what waits is in flight meanwhile."""
        while self.now_s < next_s:
            second = math.floor(self.now_s)
            end_s = min(next_s, second + 1.0)
            self._busy_s[second] = self._busy_s.get(second, 0.0) + len(self.waiting) * (end_s - self.now_s)
            self.now_s = end_s

    def _happens(self) -> bool:
        """What happens now, and whether anything does."""
        before = (self.served, self.gave_up, len(self.waiting), [replica.is_ready for replica in self.replicas])
        while self.requests_s and self.requests_s[0] <= self.now_s:
            self.waiting.append(self.requests_s.pop(0))
            self._arrivals[math.floor(self.now_s)] = self._arrivals.get(math.floor(self.now_s), 0) + 1
        for replica in self.replicas:
            replica.is_ready = replica.ready_at_s <= self.now_s
        if any(replica.is_ready for replica in self.replicas):
            self.served += len(self.waiting)
            self.waiting.clear()
        while self.waiting and self.waiting[0] + self.gives_up_s <= self.now_s:
            self.waiting.pop(0)
            self.gave_up += 1
        return before != (self.served, self.gave_up, len(self.waiting), [one.is_ready for one in self.replicas])


class _Now:
    """The world's clock."""

    def __init__(self, world: LoadingWorld) -> None:
        self.world = world

    def now_s(self) -> float:
        return self.world.now_s
