"""The published cold starts of the paper's rule and of the eager one, and what makes them so on loads like those.

The traces themselves have no licence to be stored here. `TRACES=DIR pytest tests/simulator` replays those in DIR
(`workload_bursty.txt`, `workload_periodic.txt`: one rate a line, times 25).
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dilu_autoscaler.policy.horizontal import POLICIES
from dilu_simulator.single_function import SingleResult, SingleRun, simulate_single
from dilu_simulator.workloads import read_workload
from simulator.look_alikes import CAPACITY_RPS, LOADS, write_rates

TRACES = os.environ.get("TRACES")


def replay(policy: str, path: Path, scale: float = 1.0) -> SingleResult:
    run = SingleRun(policy=POLICIES[policy], capacity_rps=CAPACITY_RPS)
    return simulate_single(run, read_workload(path, workload_format="rps", scale=scale, spacing="even"))


@pytest.mark.skipif(TRACES is None, reason="set TRACES to the folder of the published traces")
@pytest.mark.parametrize(
    ("trace", "policy", "cold_starts"),
    [("bursty", "dilu-paper", 7), ("periodic", "dilu-paper", 11), ("bursty", "eager", 40), ("periodic", "eager", 40)],
)
def test_the_published_traces_give_the_published_cold_starts(trace: str, policy: str, cold_starts: int) -> None:
    assert replay(policy, Path(TRACES or "") / f"workload_{trace}.txt", scale=25.0).cold_starts == cold_starts


def by_hand(rates_rps: list[float], policy: str) -> tuple[int, int]:
    """Cold starts and replica seconds by the two rules' own words, second by second."""
    replicas, cold_starts, seconds, history, low = 1, 0, 0, list[float](), 0
    for rate in rates_rps:
        seconds += replicas
        if policy == "eager":
            need = max(1, -int(-rate // CAPACITY_RPS))
            low = low + 1 if need < replicas else 0
            wanted = need if need > replicas or low > 15 else replicas
            low = 0 if wanted != replicas else low
        else:
            history = [*history, rate][-40:]
            wanted = replicas
            if sum(past > replicas * CAPACITY_RPS for past in history) >= 20:
                wanted += 1
            elif replicas > 1 and sum(past < (replicas - 1) * CAPACITY_RPS for past in history) > 30:
                wanted -= 1
            history = [] if wanted != replicas else history
        cold_starts += max(0, wanted - replicas)
        replicas = wanted
    return cold_starts, seconds


@pytest.mark.parametrize("policy", ["dilu-paper", "eager"])
@pytest.mark.parametrize("name", sorted(LOADS))
def test_the_loop_starts_as_many_replicas_as_the_rules_own_words_do(policy: str, name: str, tmp_path: Path) -> None:
    # Whole requests a second, since fractions of one are carried over into the next.
    rates = [float(round(rate)) for rate in LOADS[name](7)]
    result = replay(policy, write_rates(tmp_path / "load.txt", rates))
    cold_starts, seconds = by_hand(rates, policy)
    assert result.cold_starts == cold_starts
    # Replicas that leave finish what they have, which takes less than a second each.
    assert seconds <= result.instance_seconds <= seconds + 1.0 + cold_starts
