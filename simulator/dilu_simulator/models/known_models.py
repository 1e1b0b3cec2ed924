"""The models by name, each number with its source.

Short names of sources:

* "fit, A100": least squares over the 60 measured cells (batch, share) that the paper's authors published for an A100
  with 40 GB; in-sample, one run a cell.
* "paper §n", "paper's scripts": Dilu, ASPLOS'25, and its published deployment and profiling scripts.
* "iGniter, V100": three published points of a V100.
* "assumed": not measured; the text says how it was set.
"""

from __future__ import annotations

from typing import Final

from dilu.errors import ConfigError
from dilu_simulator.models.curves import PrefillCurve, SoloCurve, training_curve
from dilu_simulator.models.models import LlmTimes, Model, TrainingProfile

_GIB: Final = 1024
_FIT: Final = "fit, A100"
_SCRIPT: Final = "paper's scripts"
_TWICE: Final = "assumed: twice the bound on execution in the paper's scripts (paper §3.2: execution ≤ SLO / 2)"
_DOUBLE: Final = "paper §3.2: limit = 2 x request"
_RANGE: Final = "assumed: within the 3 to 10 GB of the paper's simulated inference instances"
_ITERATION: Final = "assumed; its curve by paper §3.2: 80 % of full speed at the request"


def _training(iteration_ms: float, sm_request: int, sm_limit: int, memory_gib: int) -> TrainingProfile:
    return TrainingProfile(
        iteration_ms=iteration_ms,
        sm_request=sm_request,
        sm_limit=sm_limit,
        gpu_memory_mib=memory_gib * _GIB,
        curve=training_curve(iteration_ms, sm_request),
    )


_RESNET152: Final = Model(
    name="ResNet152",
    curve=SoloCurve(a_ms=20.08, c_ms=0.44, d_ms=2.32, b_ms=0.53, p=3.36),
    batch=16,
    slo_ms=80.0,
    sm_request=300,
    sm_limit=600,
    gpu_memory_mib=4 * _GIB,
    training=_training(300.0, 300, 600, 28),
    sources={
        "curve": f"{_FIT} (R² .989, mean error 5.0 %)",
        "batch": "paper's search replayed on its cells: (16, 30 %) at 40 ms",
        "slo_ms": _TWICE,
        "sm_request": "paper's search replayed on its cells",
        "sm_limit": _DOUBLE,
        "gpu_memory_mib": _RANGE,
        "training": f"quotas and memory: {_SCRIPT}; iteration: {_ITERATION}",
    },
)
_VGG19: Final = Model(
    name="VGG19",
    curve=SoloCurve(a_ms=4.0, c_ms=0.62, d_ms=0.0, b_ms=1.5625, p=2.0),
    batch=16,
    slo_ms=200.0,
    sm_request=300,
    sm_limit=600,
    gpu_memory_mib=4 * _GIB,
    training=_training(250.0, 300, 600, 28),
    sources={
        "curve": "iGniter, V100, batch 16: 253.7/51.9/28.6 ms at 10/50/100 % (within 1.5 %); parts by batch: assumed",
        "batch": "assumed: as ResNet152",
        "slo_ms": "assumed: twice the execution at the request",
        "sm_request": "assumed: as ResNet152",
        "sm_limit": _DOUBLE,
        "gpu_memory_mib": _RANGE,
        "training": f"assumed: as ResNet152; iteration: {_ITERATION}",
    },
)
_BERT: Final = Model(
    name="BERT-base",
    curve=SoloCurve(a_ms=9.07, c_ms=1.03, d_ms=0.14, b_ms=0.70, p=4.28),
    batch=4,
    slo_ms=100.0,
    sm_request=100,
    sm_limit=200,
    gpu_memory_mib=5 * _GIB,
    training=_training(200.0, 300, 900, 33),
    sources={
        "curve": "assumed: RoBERTa-large by layers (12/24) and encoder parameters (85/302 M); its own published cells "
        "time a tokenizer on the CPU, not the GPU",
        "batch": "paper's search replayed on its cells: (4, 10 %) at 50 ms",
        "slo_ms": _TWICE,
        "sm_request": _SCRIPT,
        "sm_limit": _SCRIPT,
        "gpu_memory_mib": _SCRIPT,
        "training": f"quotas and memory: {_SCRIPT}; iteration: {_ITERATION}",
    },
)
_ROBERTA: Final = Model(
    name="RoBERTa-large",
    curve=SoloCurve(a_ms=18.13, c_ms=2.05, d_ms=0.49, b_ms=2.49, p=4.28),
    batch=4,
    slo_ms=120.0,
    sm_request=300,
    sm_limit=600,
    gpu_memory_mib=6 * _GIB,
    training=_training(350.0, 500, 900, 29),
    sources={
        "curve": f"{_FIT} (R² .9986, mean error 3.9 %)",
        "batch": _SCRIPT,
        "slo_ms": _TWICE,
        "sm_request": _SCRIPT,
        "sm_limit": _SCRIPT,
        "gpu_memory_mib": _SCRIPT,
        "training": f"quotas and memory: {_SCRIPT}; iteration: {_ITERATION}",
    },
)
_GPT2: Final = Model(
    name="GPT2-large",
    curve=SoloCurve(a_ms=24.4, c_ms=3.06, d_ms=0.0, b_ms=2.88, p=2.16),
    batch=4,
    slo_ms=120.0,
    sm_request=300,
    sm_limit=600,
    gpu_memory_mib=7 * _GIB,
    training=_training(500.0, 500, 900, 33),
    sources={
        "curve": f"{_FIT} (R² .9976, mean error 4.9 %)",
        "batch": "paper's search replayed on its cells: (4, 30 %) at 60 ms",
        "slo_ms": _TWICE,
        "sm_request": "paper's search replayed on its cells",
        "sm_limit": _DOUBLE,
        "gpu_memory_mib": _RANGE,
        "training": f"assumed: quotas as RoBERTa-large, memory as BERT-base; iteration: {_ITERATION}",
    },
)
_LLAMA2: Final = Model(
    name="LLaMA2-7B",
    curve=SoloCurve(a_ms=28.6, c_ms=0.778, d_ms=8.66, b_ms=0.747, p=2.65),
    batch=8,
    max_batch=16,
    slo_ms=84.0,
    sm_request=500,
    sm_limit=600,
    gpu_memory_mib=28 * _GIB,
    llm=LlmTimes(prefill=PrefillCurve(a_ms=28.6, per_token_ms=0.09, p=2.65), prompt_tokens=128, output_tokens=32),
    training=_training(1200.0, 500, 900, 39),
    sources={
        "curve": f"{_FIT}, one output token, batch ≤ 16 (R² .9851, mean error 3.0 %)",
        "batch": "paper's search replayed on its cells: (8, 50 %) at 42 ms a token",
        "slo_ms": _TWICE,
        "sm_request": _SCRIPT,
        "sm_limit": _SCRIPT,
        "gpu_memory_mib": _SCRIPT,
        "llm": "output tokens: the paper's profiling script generates 32; prompt tokens: assumed; prefill: assumed, "
        "14 GFLOP a token at half of an A100's 312 TFLOP/s, not below one decode step",
        "training": f"quotas and memory (35 to 39 GB): {_SCRIPT}; iteration: {_ITERATION}",
    },
)
_CHATGLM3: Final = Model(
    name="ChatGLM3-6B",
    curve=SoloCurve(a_ms=26.5, c_ms=0.721, d_ms=8.02, b_ms=0.692, p=2.65),
    batch=8,
    max_batch=16,
    slo_ms=84.0,
    sm_request=500,
    sm_limit=600,
    gpu_memory_mib=26 * _GIB,
    llm=LlmTimes(prefill=PrefillCurve(a_ms=26.5, per_token_ms=0.083, p=2.65), prompt_tokens=128, output_tokens=32),
    training=_training(1100.0, 500, 900, 37),
    sources={
        "curve": "assumed: LLaMA2-7B by parameters (6.24/6.74)",
        "batch": "assumed: as LLaMA2-7B",
        "slo_ms": "assumed: as LLaMA2-7B",
        "sm_request": "assumed: as LLaMA2-7B",
        "sm_limit": "assumed: as LLaMA2-7B",
        "gpu_memory_mib": "assumed: LLaMA2-7B by parameters",
        "llm": "assumed: LLaMA2-7B by parameters",
        "training": "assumed: as LLaMA2-7B, memory and iteration by parameters",
    },
)

MODELS: Final[dict[str, Model]] = {
    model.name: model for model in (_RESNET152, _VGG19, _BERT, _ROBERTA, _GPT2, _LLAMA2, _CHATGLM3)
}


def model_named(name: str) -> Model:
    """Return the model of that name, in any case; raises `ConfigError` with the known names."""
    for model in MODELS.values():
        if model.name.lower() == name.lower():
            return model
    raise ConfigError(f"model = {name!r}, must be one of: {', '.join(MODELS)}")
