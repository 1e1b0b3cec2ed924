"""How long the policies take: 10,000 revisions decided in one tick, and a vertical tick of 8 GPUs with 10 tenants each.

Each revision's state is that of a function that was under load for some minutes; in each measured tick all of them
have a new second of load, no two alike. One core, no simulator.
"""

from __future__ import annotations

import os
import statistics
import time
from random import Random
from typing import Any, Final

import harness
from dilu.spec import function_spec
from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    AnyPolicy,
    Observation,
    Sample,
)
from dilu_autoscaler.policy.vertical.node_state import QuotaInputs, QuotaState
from dilu_autoscaler.policy.vertical.registry import QUOTA_POLICIES

NAME = "policy"
REVISIONS: Final = 10_000
FUNCTIONS: Final = 50
"""So many histories: each is that of some revisions, which go on apart from then on."""
WARM_S: Final = 600
"""Until histories are full. Functions begin some seconds apart, as they do."""
_APART: Final = 8
GPUS: Final = 8
TENANTS: Final = 10
"""On each GPU."""
_CAPACITY_RPS: Final = 56.0
_SPEC: Final = function_spec("function", slo_ms=250, batch=4, rps_request=_CAPACITY_RPS, rps_limit=_CAPACITY_RPS)


class Revisions:
    """All revisions under one policy, under random load: the same load for each policy."""

    def __init__(self, policy: AnyPolicy) -> None:
        self._policy, self._settings, self._rng = policy, policy.settings_for(_SPEC), Random(1)
        self._levels = [self._rng.uniform(0.2, 2.5) for _ in range(FUNCTIONS)]
        self._replicas = [1] * FUNCTIONS
        self._states: list[Any] = [None] * FUNCTIONS
        for second in range(WARM_S):
            for place, seen in enumerate(self._seen(second)):
                if second >= place % _APART:
                    self._decide(place, seen, second + 1.0)
        times = REVISIONS // FUNCTIONS
        self._levels, self._replicas, self._states = self._levels * times, self._replicas * times, self._states * times
        self.tick_ms(WARM_S)  # from here on each has a state of its own

    def tick_ms(self, second: int) -> float:
        """Of one core, for all revisions in that second."""
        work, decided = list(enumerate(self._seen(second))), [0] * REVISIONS
        decide, settings, states, now_s = self._policy.decide, self._settings, self._states, second + 1.0
        began_s = time.process_time()
        for place, seen in work:
            decision, states[place] = decide(settings, seen, states[place], now_s)
            decided[place] = seen.desired if decision.replicas is None else decision.replicas
        took_ms = 1000 * (time.process_time() - began_s)
        self._replicas = [max(1, replicas) for replicas in decided]
        return took_ms

    def _seen(self, second: int) -> list[Observation]:
        return [self._observation(second, level, self._replicas[place]) for place, level in enumerate(self._levels)]

    def _observation(self, second: int, level: float, replicas: int) -> Observation:
        rps = float(max(0, round(_CAPACITY_RPS * self._rng.gauss(level, 0.3))))
        sample = Sample(t_s=float(second), concurrency=rps / 10, rps=rps)
        return Observation(samples=(sample,), ready=replicas, desired=replicas)

    def _decide(self, place: int, seen: Observation, now_s: float) -> None:
        state = self._states[place]
        if state is None:
            state = self._policy.initial_state(self._settings, seen, now_s)
        decision, self._states[place] = self._policy.decide(self._settings, seen, state, now_s)
        if decision.replicas is not None:
            self._replicas[place] = max(1, decision.replicas)


def horizontal_rows(ticks: int) -> list[dict[str, object]]:
    """The median tick of each policy, and its longest."""
    rows = []
    for name, policy in sorted(POLICIES.items()):
        harness.say(f"{name}: {ticks} ticks of {REVISIONS} revisions")
        revisions = Revisions(policy)
        took_ms = [revisions.tick_ms(WARM_S + 1 + tick) for tick in range(ticks)]
        rows.append(harness.row(f"tick, {name}", statistics.median(took_ms), "ms", goal="value <= 200"))
        rows.append(harness.row(f"longest tick, {name}", max(took_ms), "ms"))
    return rows


class Node:
    """A node whose tenants come to work and fall idle, and are in time and late."""

    def __init__(self) -> None:
        self._rng = Random(2)
        tenants = GPUS * TENANTS
        self.state = QuotaState(
            granted_milli=[0] * tenants,
            idle_ticks=[0] * tenants,
            counter=[0] * tenants,
            mode=[0] * GPUS,
            owner=[-1] * GPUS,
        )

    def inputs(self) -> QuotaInputs:
        """The next tick's."""
        tenants, rng = GPUS * TENANTS, self._rng
        return QuotaInputs(
            first=[TENANTS * gpu for gpu in range(GPUS + 1)],
            request_milli=[1000 // TENANTS] * tenants,
            limit_milli=[2000 // TENANTS] * tenants,
            sensitive=[int(place % TENANTS < TENANTS - 2) for place in range(tenants)],
            work=[int(rng.random() < 0.7) for _ in range(tenants)],
            slack_us=[rng.randint(-20_000, 200_000) for _ in range(tenants)],
            cycle_us=[rng.randint(20_000, 60_000) for _ in range(tenants)],
            least_cycle_us=[20_000] * tenants,
        )


def vertical_rows(ticks: int) -> list[dict[str, object]]:
    """The median tick of each vertical policy."""
    rows = []
    for name, policy in sorted(QUOTA_POLICIES.items()):
        node, took_us = Node(), []
        for _ in range(ticks):
            inputs = node.inputs()
            began_s = time.perf_counter()
            policy(inputs, node.state, 1)
            took_us.append(1e6 * (time.perf_counter() - began_s))
        metric = f"vertical tick, {name}"
        rows.append(harness.row(metric, statistics.median(took_us), "µs", goal="value <= 200"))
    return rows


def main() -> None:
    options = harness.arguments(__doc__)
    os.sched_setaffinity(0, {harness.SERVER_CORE})
    rows = horizontal_rows(4 if options.quick else 16) + vertical_rows(200 if options.quick else 2000)
    details = {"revisions": REVISIONS, "warm_s": WARM_S, "gpus": GPUS, "tenants_per_gpu": TENANTS}
    harness.write_result(NAME, rows, details=details, quick=options.quick)


if __name__ == "__main__":
    main()
