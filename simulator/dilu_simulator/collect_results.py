"""The results of a run that has ended."""

from __future__ import annotations

from typing import Final

from dilu_simulator.event_queue import US_PER_S
from dilu_simulator.latencies import Latencies
from dilu_simulator.results import FunctionResult, Results, TotalResult, TrainingResult
from dilu_simulator.run_state import GpuTime, RunningFunction, RunState, Snapshot
from dilu_simulator.scenario.scenarios import Scenario
from dilu_simulator.training_jobs import SimulatedTraining

_MILLI_US: Final = 1000 * US_PER_S


def collected_results(
    running: RunState,
    at_end: Snapshot,
    *,
    scenario: Scenario,
    policy: str,
    vertical: str,
    placement: str,
    seed: int,
) -> Results:
    """Return the results of all functions and jobs, and their totals."""
    functions = tuple(
        _function(function, gpus) for function, gpus in zip(running.functions, at_end.functions, strict=True)
    )
    training = tuple(
        _training(job, gpus, iterations, running.ends_us)
        for job, gpus, iterations in zip(running.jobs, at_end.jobs, at_end.iterations, strict=True)
    )
    return Results(
        scenario=scenario.name,
        policy=policy,
        vertical=vertical,
        placement=placement,
        seed=seed,
        duration_s=scenario.duration_s,
        total=_total(running, at_end, functions, training),
        functions=functions,
        training=training,
    )


def _function(function: RunningFunction, gpus: GpuTime) -> FunctionResult:
    simulated = function.simulated
    latencies = simulated.latencies
    requests = latencies.count + simulated.refused + simulated.outstanding
    violations = simulated.refused_or_late + simulated.outstanding
    return FunctionResult(
        name=function.entry.name,
        model=function.entry.model.name,
        policy=function.policy,
        requests=requests,
        answered=latencies.count,
        refused=simulated.refused,
        unanswered=simulated.outstanding,
        slo_violation_ratio=violations / max(1, requests),
        mean_ms=latencies.sum_us / latencies.count / 1000 if latencies.count else None,
        p50_ms=_ms(latencies, 50),
        p95_ms=_ms(latencies, 95),
        p99_ms=_ms(latencies, 99),
        cold_starts=simulated.cold_starts,
        first_cold_starts=simulated.first_cold_starts,
        instance_seconds=simulated.replica_us / US_PER_S,
        granted_gpu_seconds=gpus.granted / _MILLI_US,
        used_gpu_seconds=gpus.used / _MILLI_US,
    )


def _training(job: SimulatedTraining, gpus: GpuTime, iterations: float, ends_us: int) -> TrainingResult:
    done_us = ends_us if job.done_us is None else min(ends_us, job.done_us)
    trained_s = 0.0 if job.began_us is None else max(0.0, (done_us - job.began_us) / US_PER_S)
    per_s = iterations / trained_s if trained_s else 0.0
    placed_us = ends_us if job.placed_us is None else min(ends_us, job.placed_us)
    return TrainingResult(
        name=job.job.name,
        model=job.job.model.name,
        iterations=iterations,
        iterations_per_s=per_s,
        solo_ratio=per_s * job.job.model.training.iteration_ms / 1000,
        waited_s=max(0.0, placed_us / US_PER_S - job.job.start_s),
        finished=job.done_us is not None and job.done_us <= ends_us,
        granted_gpu_seconds=gpus.granted / _MILLI_US,
        used_gpu_seconds=gpus.used / _MILLI_US,
    )


def _total(
    running: RunState, at_end: Snapshot, functions: tuple[FunctionResult, ...], training: tuple[TrainingResult, ...]
) -> TotalResult:
    requests = sum(function.requests for function in functions)
    violations = sum(
        function.simulated.refused_or_late + function.simulated.outstanding for function in running.functions
    )
    latencies = Latencies()
    for function in running.functions:
        if function.entry.model.llm is None:
            latencies.merge(function.simulated.latencies)
    both: list[FunctionResult | TrainingResult] = [*functions, *training]
    ratios = [job.solo_ratio for job in training]
    return TotalResult(
        requests=requests,
        answered=sum(function.answered for function in functions),
        refused=sum(function.refused for function in functions),
        unanswered=sum(function.unanswered for function in functions),
        slo_violation_ratio=violations / max(1, requests),
        p50_ms=_ms(latencies, 50),
        p95_ms=_ms(latencies, 95),
        p99_ms=_ms(latencies, 99),
        cold_starts=sum(function.cold_starts for function in functions),
        first_cold_starts=sum(function.first_cold_starts for function in functions),
        instance_seconds=sum(function.instance_seconds for function in functions),
        granted_gpu_seconds=sum(entry.granted_gpu_seconds for entry in both),
        used_gpu_seconds=sum(entry.used_gpu_seconds for entry in both),
        whole_gpu_seconds=at_end.cluster.whole_gpu_seconds,
        max_gpus=at_end.cluster.max_gpus,
        sm_fragmentation_ratio=at_end.cluster.sm_fragmentation_ratio,
        memory_fragmentation_ratio=at_end.cluster.memory_fragmentation_ratio,
        training_iterations=sum(job.iterations for job in training),
        training_solo_ratio=sum(ratios) / len(ratios) if ratios else None,
    )


def _ms(latencies: Latencies, percent: float) -> float | None:
    value_us = latencies.percentile_us(percent)
    return None if value_us is None else value_us / 1000
