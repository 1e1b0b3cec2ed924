"""Small scenarios of the paper's kind: replicas and jobs that share one GPU."""

from __future__ import annotations

from typing import Final

from dilu.load.arrivals import Arrivals
from dilu_simulator.evaluation.tasks import ScenarioTask
from dilu_simulator.models import MODELS
from dilu_simulator.scenario import ClusterSize, ColdStartDelay, InferenceFunction, Scenario, TrainingJob

_NONE: Final = ColdStartDelay(process_s=0.0, import_s=0.0, load_s=0.0, warm_up_s=0.0)
VERTICALS: Final = ("exclusive", "static-limit", "static-request", "tgs", "fast-gs", "dilu-paper", "dilu")
"""The vertical policies that are compared; exclusive gives each tenant a GPU of its own."""


def steady(name: str, model: str, arrivals: Arrivals) -> InferenceFunction:
    """One warm replica that stays the only one; every request waits for its turn, as in the paper."""
    return InferenceFunction(
        name=name,
        model=MODELS[model],
        arrivals=arrivals,
        min_scale=1,
        max_scale=1,
        warm=1,
        admission="queue",
    )


def trained(name: str, model: str, gpu_memory_mib: int | None = None) -> TrainingJob:
    """Return a training job that runs from the start of the run to its end."""
    return TrainingJob(name=name, model=MODELS[model], gpu_memory_mib=gpu_memory_mib, cold_start=_NONE)


def shared(
    name: str, duration_s: float, functions: tuple[InferenceFunction, ...] = (), training: tuple[TrainingJob, ...] = ()
) -> Scenario:
    """All of them on the first of two GPUs; on one each where the vertical policy is exclusive."""
    return Scenario(
        name=name,
        duration_s=duration_s,
        cluster=ClusterSize(nodes=1, gpus_per_node=2),
        functions=functions,
        training=training,
        policy="dilu-paper",
    )


def tasks(scenario: Scenario, vertical: str, seeds: tuple[int, ...]) -> list[ScenarioTask]:
    """Run the scenario under a vertical policy, once per seed."""
    return [ScenarioTask(scenario=scenario, vertical=vertical, seed=seed) for seed in seeds]
