"""A day of 100 functions on 1,000 nodes of 4 GPUs: how long one core simulates it, and in how much memory.

Popularity falls by rank as 1/rank; half of the functions follow the hours of the day, a quarter keep their rate, a
quarter is called in bursts. Each policy runs in a process of its own on one core. Memory is compared with that of a
shorter run of the same load: it must grow with what is live, not with what is past.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import Final

import harness
from dilu.load.arrivals import Arrivals, RateArrivals, gamma
from dilu.load.rates import Flat
from dilu_simulator.arrivals import SporadicArrivals
from dilu_simulator.models import MODELS
from dilu_simulator.run import run_scenario
from dilu_simulator.scenario import ClusterSize, InferenceFunction, Scenario

NAME = "simulator"
DAY_S: Final = 86_400.0
FUNCTIONS: Final = 100
REQUESTS: Final = 1_000_000
POLICIES: Final = ("dilu", "dilu-paper")
_MODELS: Final = ("BERT-base", "RoBERTa-large", "ResNet152", "GPT2-large")


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One run in a process of its own."""

    policy: str
    duration_s: float
    cpu_s: float
    wall_s: float
    requests: int
    cold_starts: int
    slo_violation_ratio: float
    most_gpus: int
    peak_mib: float


def day(duration_s: float) -> Scenario:
    """The first so many seconds of the day."""
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
    """One function's load, of that mean rate over a day."""
    if rank % 4 == 1:
        return gamma(rps, duration_s, cv=1.0)
    if rank % 4 == 3:
        return SporadicArrivals(burst_rps=10 * rps, burst_s=30.0, pause_s=270.0, duration_s=duration_s)
    hourly = [rps * (1.0 - 0.8 * math.cos(math.tau * at / DAY_S)) for at in range(0, 86_400, 60)]
    minutes = [Flat(rps=rate, duration_s=60.0) for rate in hourly]
    return RateArrivals(segments=tuple(minutes), cv=1.0).until(duration_s)


def run_here(policy: str, duration_s: float) -> Seen:
    """The run in this process."""
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
        most_gpus=results.total.most_gpus,
        peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def run_apart(policy: str, duration_s: float) -> Seen:
    """The same in a process of its own, on the first core."""
    harness.say(f"{policy}: {duration_s / 3600:g} h")
    command = [sys.executable, __file__, "--policy", policy, "--duration-s", str(duration_s)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return Seen(**json.loads(printed))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--policy", choices=POLICIES, help="one run in this process (what the script starts)")
    parser.add_argument("--duration-s", type=float, default=DAY_S, help="of that run")


def main() -> None:
    options = harness.arguments(__doc__, add_options)
    if options.policy is not None:
        os.sched_setaffinity(0, {harness.SERVER_CORE})
        print(json.dumps(asdict(run_here(options.policy, options.duration_s))))
        return
    whole_s = DAY_S / 24 if options.quick else DAY_S
    seen = {policy: (run_apart(policy, whole_s), run_apart(policy, whole_s / 4)) for policy in POLICIES}
    rows = []
    for policy, (whole, quarter) in seen.items():
        goal = None if options.quick else "value <= 60"
        rows += [
            harness.row(f"day, {policy}", whole.cpu_s, "s of one core", goal=goal),
            harness.row(f"requests, {policy}", whole.requests / whole.cpu_s, "a second of one core"),
            harness.row(
                f"peak memory, {policy}",
                whole.peak_mib,
                "MiB",
                peer="a quarter of the time",
                peer_value=quarter.peak_mib,
                goal="ratio <= 1.25",
            ),
        ]
    details = {"runs": [asdict(run) for runs in seen.values() for run in runs], "functions": FUNCTIONS}
    harness.write_result(NAME, rows, details=details, quick=options.quick)


if __name__ == "__main__":
    main()
