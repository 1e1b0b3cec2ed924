"""What is read from the runs of one function under a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from dilu_simulator.evaluation.intervals import Estimate, paired
from dilu_simulator.evaluation.tasks import Switches
from dilu_simulator.single_function import SingleResult

POLICIES: Final = ("dilu-paper", "dilu", "dilu-target", "eager", "infless", "kpa", "hpa", "ray-serve")
EVEN, POISSON = "even", "poisson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table3Key:
    """Which runs."""

    trace: str
    spacing: str
    policy: str
    switches: Switches = ()


Runs = Mapping[Table3Key, list[SingleResult]]
"""One a seed."""


def values_of(runs: Runs, trace: str, spacing: str, policy: str, value: Callable[[SingleResult], float]) -> list[float]:
    """One a seed."""
    return [value(result) for result in runs[Table3Key(trace=trace, spacing=spacing, policy=policy)]]


def cold_starts(result: SingleResult) -> float:
    """How many, without the replica that is warm at the start."""
    return float(result.cold_starts)


def violations(result: SingleResult) -> float:
    """Return the ratio."""
    return result.slo_violation_ratio


def gpu_s(result: SingleResult) -> float:
    """Replicas x time, each with a GPU of its own."""
    return result.instance_seconds


def saved(runs: Runs, trace: str, spacing: str, policy: str, by: str) -> Estimate | None:
    """Return the GPU time of a policy minus that of another, per seed; None if they are the same policy."""
    if policy == by:
        return None
    own, less = (values_of(runs, trace, spacing, name, gpu_s) for name in (policy, by))
    return paired(own, less)
