"""What is read from the runs of two tenants, and which pairs there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Final

from dilu_simulator.evaluation.intervals import Estimate, estimate, paired
from dilu_simulator.results import Results

BESIDE_TRAINING: Final = ("ResNet152", "RoBERTa-large", "GPT2-large")
INFERENCE_PAIRS: Final = (("ResNet152", "RoBERTa-large"), ("RoBERTa-large", "GPT2-large"), ("GPT2-large", "LLaMA2-7B"))
TRAINING_PAIRS: Final = (("BERT-base", "ResNet152"), ("RoBERTa-large", "VGG19"), ("GPT2-large", "ResNet152"))
Runs = Mapping[tuple[str, str], list[Results]]
"""By scenario and vertical policy, one a seed."""
Value = Callable[[Results], float | None]


def beside_training(model: str) -> str:
    """Return the scenario's name."""
    return f"{model} beside training"


def inference_pair(one: str, other: str) -> str:
    """Return the scenario's name."""
    return f"{one} beside {other}"


def training_pair(one: str, other: str) -> str:
    """Return the scenario's name."""
    return f"training of {one} and {other}"


def p50(function: str) -> Value:
    """Of that function."""
    return lambda result: result.function(function).p50_ms


def p95(function: str) -> Value:
    """Of that function."""
    return lambda result: result.function(function).p95_ms


def violations(function: str) -> Value:
    """Return the ratio of a function."""
    return lambda result: result.function(function).slo_violation_ratio


def job(index: int) -> Value:
    """Return a job's speed relative to its speed on whole GPUs."""
    return lambda result: result.training[index].solo_ratio


def training_ratio(result: Results) -> float:
    """Return the only job's speed relative to its speed on whole GPUs."""
    return result.training[0].solo_ratio


def sum_of_ratios(result: Results) -> float:
    """All jobs' speeds, each over its own on whole GPUs."""
    return sum(job.solo_ratio for job in result.training)


def gpus(result: Results) -> float:
    """Return the maximum number of GPUs in use at once."""
    return float(result.total.max_gpus)


def values_of(runs: Runs, name: str, vertical: str, value: Value) -> list[float | None]:
    """One a seed."""
    return [value(result) for result in runs[name, vertical]]


def value_of(runs: Runs, name: str, vertical: str, value: Value) -> Estimate | None:
    """Their mean."""
    return estimate(values_of(runs, name, vertical, value))


def times(runs: Runs, name: str, vertical: str, value: Value, of: str = "exclusive") -> Estimate | None:
    """How many times the value under another vertical policy, seed by seed."""
    return paired(values_of(runs, name, vertical, value), values_of(runs, name, of, value), as_ratio=True)


def mean_times(
    runs: Runs, values: Iterable[tuple[str, Value]], vertical: str, of: str = "exclusive"
) -> Estimate | None:
    """Return a measure's mean over scenarios, per seed."""
    return estimate(
        None if None in at_seed else fmean(known for known in at_seed if known is not None)
        for at_seed in zip(*(list(_ratios(runs, name, vertical, value, of)) for name, value in values), strict=True)
    )


def _ratios(runs: Runs, name: str, vertical: str, value: Value, of: str) -> Iterable[float | None]:
    for mine, other in zip(values_of(runs, name, vertical, value), values_of(runs, name, of, value), strict=True):
        yield None if mine is None or not other else mine / other
