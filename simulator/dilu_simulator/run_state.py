"""What a run consists of while it runs, and its counters at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from dilu_simulator.devices import Cluster, ClusterTotals
from dilu_simulator.devices.gpu_places import GpuPlaces
from dilu_simulator.event_queue import EventQueue
from dilu_simulator.functions import SimulatedFunction
from dilu_simulator.scenario.scenarios import InferenceFunction
from dilu_simulator.training_jobs import SimulatedTraining


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningFunction:
    """One function of the scenario, and its part of the world."""

    entry: InferenceFunction
    simulated: SimulatedFunction
    places: GpuPlaces
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuTime:
    """GPU time in milli-GPU microseconds."""

    granted: int
    used: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Counters at the end of the scenario, before the last requests drain."""

    functions: tuple[GpuTime, ...]
    jobs: tuple[GpuTime, ...]
    iterations: tuple[float, ...]
    cluster: ClusterTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """Functions, jobs and devices of a run."""

    events: EventQueue
    cluster: Cluster
    functions: list[RunningFunction]
    jobs: list[SimulatedTraining]
    ends_us: int

    def snapshot(self) -> Snapshot:
        """Return the counters now."""
        for function in self.functions:
            function.places.settle()
        iterations = tuple(job.iterations for job in self.jobs)
        return Snapshot(
            functions=tuple(
                GpuTime(granted=function.places.usage.granted, used=function.places.usage.used)
                for function in self.functions
            ),
            jobs=tuple(GpuTime(granted=job.usage.granted, used=job.usage.used) for job in self.jobs),
            iterations=iterations,
            cluster=self.cluster.totals(),
        )
