"""How long the policies take: 10,000 revisions in one tick, and a vertical tick of 8 GPUs with 10 tenants each.

Each revision's state is that of a function that was under load for some minutes; in each measured tick all of them
have a new second of load, no two alike. One core, no simulator. The policies alternate; a repeat is the median of some
ticks, and each row has the smallest and the largest repeat beside the median.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import asdict, dataclass
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
from dilu_autoscaler.policy.vertical import VERTICAL_POLICIES, VerticalInputs, initial_state

NAME = "policy"
REVISIONS: Final = 10_000
FUNCTIONS: Final = 50
"""The number of histories: each one is shared by some revisions, which differ from then on."""
WARM_S: Final = 600
"""Until histories are full. Functions start some seconds apart."""
_APART: Final = 8
GPUS: Final = 8
TENANTS: Final = 10
"""On each GPU."""
_CAPACITY_RPS: Final = 56.0
_SPEC: Final = function_spec("function", slo_ms=250, batch=4, rps_request=_CAPACITY_RPS, rps_limit=_CAPACITY_RPS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Ticks of one repeat, and the number of repeats."""

    ticks: int
    vertical_ticks: int
    repeats: int


FULL: Final = Sizes(ticks=8, vertical_ticks=500, repeats=9)
QUICK: Final = Sizes(ticks=2, vertical_ticks=100, repeats=2)


class Revisions:
    """All revisions under one policy and random load, the same for each policy."""

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
        self.tick_ms(WARM_S)  # from here on each revision has its own state

    def tick_ms(self, second: int) -> float:
        """Decide all revisions in that second, and return the milliseconds of one core."""
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


def horizontal_rows(sizes: Sizes) -> list[dict[str, object]]:
    """Return the median tick of each policy and its longest, in each repeat; the policies alternate."""
    revisions = {}
    for name, policy in sorted(POLICIES.items()):
        harness.progress(f"{name}: {REVISIONS} revisions after {WARM_S} s of load")
        revisions[name] = Revisions(policy)
    seconds = dict.fromkeys(revisions, WARM_S)

    def once(name: str) -> list[float]:
        first = seconds[name] + 1
        seconds[name] += sizes.ticks
        return [revisions[name].tick_ms(second) for second in range(first, first + sizes.ticks)]

    rows = []
    for name, repeats in harness.interleaved(tuple(revisions), once, sizes.repeats).items():
        medians, slowest = [statistics.median(ticks) for ticks in repeats], [max(ticks) for ticks in repeats]
        rows.append(harness.row(f"tick, {name}", medians, "ms", goal="value <= 200"))
        rows.append(harness.row(f"longest tick, {name}", slowest, "ms"))
    return rows


class Node:
    """A node whose tenants become busy and idle, and are in time and late."""

    def __init__(self) -> None:
        self._rng = Random(2)
        self.state = initial_state(GPUS, GPUS * TENANTS)

    def inputs(self) -> VerticalInputs:
        """Return the inputs of the next tick."""
        tenants, rng = GPUS * TENANTS, self._rng
        return VerticalInputs(
            first=[TENANTS * gpu for gpu in range(GPUS + 1)],
            request_milli=[1000 // TENANTS] * tenants,
            limit_milli=[2000 // TENANTS] * tenants,
            sensitive=[int(place % TENANTS < TENANTS - 2) for place in range(tenants)],
            work=[int(rng.random() < 0.7) for _ in range(tenants)],
            slack_us=[rng.randint(-20_000, 200_000) for _ in range(tenants)],
            cycle_us=[rng.randint(20_000, 60_000) for _ in range(tenants)],
            min_cycle_us=[20_000] * tenants,
        )


def vertical_rows(sizes: Sizes) -> list[dict[str, object]]:
    """Return the median tick of each vertical policy, in each repeat; the policies alternate."""
    nodes = {name: Node() for name in sorted(VERTICAL_POLICIES)}

    def once(name: str) -> float:
        return statistics.median(vertical_tick_us(name, nodes[name]) for _ in range(sizes.vertical_ticks))

    found = harness.interleaved(tuple(nodes), once, sizes.repeats)
    return [
        harness.row(f"vertical tick, {name}", medians, "µs", goal="value <= 200") for name, medians in found.items()
    ]


def vertical_tick_us(name: str, node: Node) -> float:
    """Return the microseconds of one tick of one node."""
    inputs = node.inputs()
    began_s = time.perf_counter()
    VERTICAL_POLICIES[name].decide(inputs, node.state, 5000)
    return 1e6 * (time.perf_counter() - began_s)


def main() -> None:
    options = harness.arguments(__doc__)
    os.sched_setaffinity(0, {harness.SERVER_CORE})
    sizes = QUICK if options.quick else FULL
    rows = horizontal_rows(sizes) + vertical_rows(sizes)
    details = {
        "revisions": REVISIONS,
        "warm_s": WARM_S,
        "gpus": GPUS,
        "tenants_per_gpu": TENANTS,
        "sizes": asdict(sizes),
    }
    harness.write_result(NAME, rows, details=details, options=options)


if __name__ == "__main__":
    main()
