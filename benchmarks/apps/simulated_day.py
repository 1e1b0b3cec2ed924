"""One simulated day, or a part of it, in this process: `simulated_day.py POLICY SECONDS` prints a line of JSON.

Popularity falls by rank as 1/rank; half of the functions follow the hours of the day, a quarter keep their rate, a
quarter is called in bursts.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

from dilu.load.arrivals import Arrivals, RateArrivals, gamma
from dilu.load.rates import Flat
from dilu_simulator.arrivals import SporadicArrivals
from dilu_simulator.models import MODELS
from dilu_simulator.run import run_scenario
from dilu_simulator.scenario import ClusterSize, InferenceFunction, Scenario

DAY_S: Final = 86_400.0
FUNCTIONS: Final = 100
REQUESTS: Final = 1_000_000
_MODELS: Final = ("BERT-base", "RoBERTa-large", "ResNet152", "GPT2-large")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The figures of one run."""

    policy: str
    duration_s: float
    cpu_s: float
    wall_s: float
    requests: int
    cold_starts: int
    slo_violation_ratio: float
    max_gpus: int
    peak_mib: float


def day(duration_s: float) -> Scenario:
    """Return the first seconds of the day."""
    weights = [1.0 / rank for rank in range(1, FUNCTIONS + 1)]
    rates = [REQUESTS / DAY_S * weight / math.fsum(weights) for weight in weights]
    functions = tuple(
        InferenceFunction(
            name=f"function-{rank}",
            model=MODELS[_MODELS[rank % len(_MODELS)]],
            arrivals=load(rank, rate, duration_s),
        )
        for rank, rate in enumerate(rates)
    )
    return Scenario(name="day", duration_s=duration_s, cluster=ClusterSize(nodes=1000), functions=functions)


def load(rank: int, rps: float, duration_s: float) -> Arrivals:
    """Return the load of one function with this mean rate over a day."""
    if rank % 4 == 1:
        return gamma(rps, duration_s, cv=1.0)
    if rank % 4 == 3:
        return SporadicArrivals(burst_rps=10 * rps, burst_s=30.0, pause_s=270.0, duration_s=duration_s)
    hourly = [rps * (1.0 - 0.8 * math.cos(math.tau * at / DAY_S)) for at in range(0, 86_400, 60)]
    minutes = [Flat(rps=rate, duration_s=60.0) for rate in hourly]
    return RateArrivals(segments=tuple(minutes), cv=1.0).until(duration_s)


def run(policy: str, duration_s: float) -> Seen:
    """Run a part of the day in this process."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    results = run_scenario(day(duration_s), policy=policy, seed=1)
    return Seen(
        policy=policy,
        duration_s=duration_s,
        cpu_s=time.process_time() - began_cpu_s,
        wall_s=time.perf_counter() - began_s,
        requests=results.total.requests,
        cold_starts=results.total.cold_starts,
        slo_violation_ratio=results.total.slo_violation_ratio,
        max_gpus=results.total.max_gpus,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(run(sys.argv[1], float(sys.argv[2])))))
