"""Small scenarios that the tests vary."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from dilu.load.arrivals import Arrivals, gamma, poisson
from dilu_simulator.arrivals import SporadicArrivals
from dilu_simulator.models import MODELS
from dilu_simulator.scenario import ClusterSize, ColdStartDelay, InferenceFunction, Scenario, TrainingJob

ROBERTA, RESNET, LLAMA, BERT = (MODELS[name] for name in ("RoBERTa-large", "ResNet152", "LLaMA2-7B", "BERT-base"))


def function(name: str = "embed", arrivals: Arrivals | None = None, **settings: Any) -> InferenceFunction:
    """RoBERTa-large, one warm replica that stays, unless said otherwise."""
    values: dict[str, Any] = {"model": ROBERTA, "warm": 1, "min_scale": 1, **settings}
    return InferenceFunction(name=name, arrivals=arrivals or poisson(20, 20), **values)


def alone(
    arrivals: Arrivals, *, duration_s: float | None = None, vertical: str = "static-limit", **settings: Any
) -> Scenario:
    """One function, one replica, one GPU; everything waits."""
    values: dict[str, Any] = {"max_scale": 1, "admission": "queue", **settings}
    return Scenario(
        duration_s=duration_s or max(1.0, arrivals.duration_s),
        cluster=ClusterSize(nodes=1, gpus_per_node=1),
        functions=(function("alone", arrivals, **values),),
        policy="dilu-paper",
        vertical=vertical,
    )


def mixed(duration_s: float = 40.0) -> Scenario:
    """Everything at once on three GPUs: inference, a language model, training, from zero and warm."""
    return Scenario(
        name="mixed",
        duration_s=duration_s,
        cluster=ClusterSize(nodes=1, gpus_per_node=3),
        functions=(
            function("embed", poisson(60, duration_s)),
            function("classify", gamma(40, duration_s, cv=3.0), model=RESNET, warm=0, min_scale=0),
            function("chat", poisson(1.0, duration_s), model=LLAMA, slo_ms=200.0),
            function(
                "rare",
                SporadicArrivals(burst_rps=20, burst_s=2, pause_s=8, duration_s=duration_s),
                model=BERT,
                warm=0,
                min_scale=0,
                cold_start=ColdStartDelay(load_s=0.5, import_s=0.5, image_s=1.0),
            ),
        ),
        training=(
            TrainingJob(name="train", model=ROBERTA, gpus=2),
            TrainingJob(name="short", model=BERT, iterations=20),
        ),
    )


def with_functions(scenario: Scenario, **settings: Any) -> Scenario:
    """The scenario with these settings for each function."""
    return replace(scenario, functions=tuple(replace(entry, **settings) for entry in scenario.functions))
