"""A world of whole seconds: a policy scales one function whose load and queue are flows.

It is far quicker than simulated requests and close to them: what ready replicas cannot take, but for a short queue, is
refused, as a server does that knows its objective. Cold starts and replica time come out as there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dilu.spec import function_spec
from dilu_autoscaler.policy.horizontal import (
    AnyPolicy,
    Bounds,
    Decision,
    Observation,
    Sample,
    bounded,
)

_QUEUE_S: Final = 0.12
"""Of the ready replicas' throughput: what waits longer than that would be late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One function, and what its replicas are."""

    capacity_rps: float
    batch: int = 4
    slo_ms: float = 250.0
    cold_start_s: int = 10
    min_replicas: int = 1
    max_replicas: int | None = None

    @property
    def answer_s(self) -> float:
        """How long a request is in flight that does not queue: half of the running batch, then its own.

        Simulated requests take 1.6 batches at half load and 1.8 at 80 % load, at every capacity.
        """
        return 1.5 * self.batch / self.capacity_rps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialOutcome:
    """What a policy did to it."""

    violation_ratio: float
    cold_starts: int
    replica_s: int


def tried(policy: AnyPolicy, trial: Trial, rates_rps: Sequence[float], settings: object = None) -> TrialOutcome:
    """Run the policy under a load, from one warm replica; its settings are the function's unless given."""
    world = _FluidWorld(trial)
    if settings is None:
        settings = policy.settings_for(
            function_spec(
                "function",
                slo_ms=trial.slo_ms,
                batch=trial.batch,
                rps_request=trial.capacity_rps,
                rps_limit=trial.capacity_rps,
                min_scale=trial.min_replicas,
                max_scale=trial.max_replicas,
            )
        )
    bounds = Bounds(min_replicas=trial.min_replicas, max_replicas=trial.max_replicas)
    state: object = None
    for second, rps in enumerate(rates_rps):
        seen = world.pass_second(second, rps)
        if state is None:
            state = policy.initial_state(settings, seen, second + 1.0)
        decision, state = policy.decide(settings, seen, state, second + 1.0)
        world.apply(bounded(decision, bounds, desired=seen.desired), second + 1)
    return world.outcome()


class _FluidWorld:
    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._ready, self._due = 1, deque[int]()
        self._fraction = self._queue = 0.0
        self._requests, self._refused = 0, 0.0
        self._cold_starts = self._replica_s = 0

    def pass_second(self, second: int, rps: float) -> Observation:
        while self._due and self._due[0] <= second:
            self._due.popleft()
            self._ready += 1
        self._fraction += rps
        arrived = int(self._fraction)
        self._fraction -= arrived
        self._requests += arrived
        capacity = self._ready * self._trial.capacity_rps
        left = max(0.0, self._queue + arrived - capacity)
        kept = min(left, _QUEUE_S * capacity)
        self._refused += left - kept
        self._queue = kept
        replicas = self._ready + len(self._due)
        self._replica_s += replicas
        concurrency = arrived * self._trial.answer_s + kept  # Little's law: those in batches, and those that wait
        sample = Sample(t_s=float(second), concurrency=concurrency, rps=float(arrived))
        return Observation(samples=(sample,), ready=self._ready, starting=len(self._due), desired=replicas)

    def apply(self, decision: Decision, now_s: int) -> None:
        if decision.replicas is None:
            return
        while self._ready + len(self._due) < decision.replicas:
            self._due.append(now_s + self._trial.cold_start_s)
            self._cold_starts += 1
        while self._ready + len(self._due) > decision.replicas:
            if self._due:
                self._due.pop()
            else:
                self._ready -= 1

    def outcome(self) -> TrialOutcome:
        return TrialOutcome(
            violation_ratio=self._refused / max(1, self._requests),
            cold_starts=self._cold_starts,
            replica_s=self._replica_s,
        )
