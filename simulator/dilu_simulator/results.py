"""The results of a run, by function and in total, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionResult:
    """One function. Latencies are of answered requests, of language models per output token; None: there were none."""

    name: str
    model: str
    policy: str
    requests: int
    answered: int
    refused: int
    unanswered: int
    """Still waiting long after the end: there was no room for a replica."""
    slo_violation_ratio: float
    """Requests that were refused, not answered, or answered after the objective, of all."""
    mean_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    cold_starts: int
    """Replicas that were started; those that were warm at the beginning are none."""
    first_cold_starts: int
    """Of these, the one before which the function never had a replica."""
    instance_seconds: float
    """From the decisions to start them to their ends, within the run."""
    granted_gpu_seconds: float
    """Granted share x time, used or not."""
    used_gpu_seconds: float
    """Granted share x time while there was work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """One training job."""

    name: str
    model: str
    iterations: float
    iterations_per_s: float
    """From getting its GPUs and coming up to the end, or to its last iteration."""
    solo_ratio: float
    """The same over its speed on whole GPUs of its own."""
    waited_s: float
    """For room."""
    finished: bool
    """Whether it did all that it was to do; one without a number of iterations never does."""
    granted_gpu_seconds: float
    used_gpu_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TotalResult:
    """All functions and jobs together."""

    requests: int
    answered: int
    refused: int
    unanswered: int
    slo_violation_ratio: float
    p50_ms: float | None
    """Of the functions whose latency is that of a request, language models left out."""
    p95_ms: float | None
    p99_ms: float | None
    cold_starts: int
    first_cold_starts: int
    instance_seconds: float
    granted_gpu_seconds: float
    used_gpu_seconds: float
    whole_gpu_seconds: float
    """GPUs with a replica or a job x time."""
    max_gpus: int
    sm_fragmentation_ratio: float | None
    """Time mean over the GPUs in use of the share that no request books. None: none was in use."""
    memory_fragmentation_ratio: float | None
    training_iterations: float
    training_solo_ratio: float | None
    """Mean over the jobs. None: there were none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """A run, and what it was."""

    scenario: str
    policy: str
    vertical: str
    placement: str
    seed: int
    duration_s: float
    total: TotalResult
    functions: tuple[FunctionResult, ...]
    training: tuple[TrainingResult, ...]
    timeline: tuple[TimelineRow, ...] = ()
    """Empty unless it was asked for."""

    def function(self, name: str) -> FunctionResult:
        """Return the result of the function of that name."""
        return next(function for function in self.functions if function.name == name)

    def job(self, name: str) -> TrainingResult:
        """Return the result of the training job of that name."""
        return next(job for job in self.training if job.name == name)

    def as_mapping(self) -> Mapping[str, object]:
        """Return all but the timeline, for JSON."""
        whole = asdict(self)
        del whole["timeline"]
        return whole


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRow:
    """One function at one moment, and what happened since the row before."""

    t_s: float
    function: str
    requests: int
    violations: int
    ready: int
    starting: int
    granted_gpu_seconds: float
