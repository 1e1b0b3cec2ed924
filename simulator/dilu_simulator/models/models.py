"""A model as the simulator knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dilu.spec import Kind
from dilu_simulator.models.curves import PrefillCurve, SoloCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class LlmTimes:
    """What only a language model has. Its `curve` is then one decode step of a batch."""

    prefill: PrefillCurve
    prompt_tokens: int
    """Where a load says nothing else."""
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProfile:
    """The model while it is trained."""

    iteration_ms: float
    """On whole GPUs of its own."""
    sm_request: int
    sm_limit: int
    gpu_memory_mib: int
    """On each GPU."""
    curve: SoloCurve


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """How long a model's work takes, and what a function of it asks for unless its scenario says otherwise."""

    name: str
    curve: SoloCurve
    """A batch; of a language model one decode step."""
    batch: int
    max_batch: int | None = None
    """The curve holds up to here. None: no limit is known."""
    slo_ms: float
    """Of a request; of a language model per output token."""
    sm_request: int
    sm_limit: int
    gpu_memory_mib: int
    llm: LlmTimes | None = None
    training: TrainingProfile
    sources: Mapping[str, str] = field(hash=False)
    """Where each number is from; "assumed" where it was not measured."""

    @property
    def kind(self) -> Kind:
        """What a function of it is."""
        return Kind.INFERENCE if self.llm is None else Kind.LLM_INFERENCE
