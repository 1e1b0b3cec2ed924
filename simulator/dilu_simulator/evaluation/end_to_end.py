"""A cluster as in the paper's local end-to-end experiment, with loads that are assumed."""

from __future__ import annotations

from dilu.load.arrivals import Arrivals, bursty, periodic
from dilu.load.rates import Flat
from dilu_simulator.arrivals import SporadicArrivals
from dilu_simulator.models import MODELS
from dilu_simulator.scenario import ClusterSize, InferenceFunction, Scenario, TrainingJob


def end_to_end(lasts_s: float) -> Scenario:
    """Six functions and three jobs on 5 nodes of 4 GPUs. Peaks are above what one replica does at its request."""
    return Scenario(
        name="end to end",
        duration_s=lasts_s,
        cluster=ClusterSize(nodes=5, gpus_per_node=4),
        functions=(
            _function("resnet", "ResNet152", _bursts(150, 450, lasts_s)),
            _function("vgg", "VGG19", periodic(40, 280, 120, lasts_s)),
            _function("bert", "BERT-base", _bursts(40, 130, lasts_s)),
            _function("roberta", "RoBERTa-large", periodic(30, 180, 90, lasts_s)),
            _function("gpt2", "GPT2-large", _bursts(30, 100, lasts_s)),
            _function("llama", "LLaMA2-7B", SporadicArrivals(burst_rps=5, burst_s=20, pause_s=20, duration_s=lasts_s)),
        ),
        training=(
            TrainingJob(name="train-bert", model=MODELS["BERT-base"], gpus=4),
            TrainingJob(name="train-roberta", model=MODELS["RoBERTa-large"], gpus=2),
            TrainingJob(name="train-resnet", model=MODELS["ResNet152"], gpus=2),
        ),
    )


def _function(name: str, model: str, arrivals: Arrivals) -> InferenceFunction:
    return InferenceFunction(name=name, model=MODELS[model], arrivals=arrivals, min_scale=1, warm=1)


def _bursts(low_rps: float, high_rps: float, lasts_s: float) -> Arrivals:
    return bursty((Flat(rps=low_rps, duration_s=40.0), Flat(rps=high_rps, duration_s=20.0)), lasts_s)
