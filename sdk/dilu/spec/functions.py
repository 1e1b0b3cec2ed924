"""The spec of one function, which every part reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final

from dilu.spec.fields import FieldError, choice, label, positive_number, shortest, whole_number
from dilu.spec.quantities import gpu_milli, memory_mib

MAX_GPUS: Final = 8  # of one node


class Kind(StrEnum):
    """The kind of a function, which decides whether its latency counts and how it is placed."""

    INFERENCE = "inference"
    LLM_INFERENCE = "llm-inference"
    TRAINING = "training"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """The latency objective of one request; for an LLM the time per output token."""

    latency_ms: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "latency_ms", positive_number("latency_ms", self.latency_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """The validated spec of one function: shares of a GPU, memory, batch, objective and bounds of its replicas.

    >>> FunctionSpec(name="embed", slo=Slo(latency_ms=60), batch=16, sm_request=300, sm_limit=600).slo_ms
    60.0

    A share is in milli-GPU: 1000 is one whole GPU. Raise `ConfigError` for an invalid value.
    """

    name: str
    kind: Kind = Kind.INFERENCE
    slo: Slo | None = None  # None: no objective
    batch: int | None = None  # None: the handler takes one item per call; N: a list of 1 to N items
    sm_request: int | None = None  # guaranteed share of each GPU; None: not opted in to co-scaling
    sm_limit: int | None = None  # share beyond which more does not pay; None: unknown
    gpu_memory_mib: int | None = None  # on each GPU; None: unknown
    gpus: int = 1
    rps_request: float | None = None  # sustainable rate of one replica at sm_request; None: learned
    rps_limit: float | None = None  # the same at sm_limit
    affinity_group: str | None = None  # members prefer the same GPUs
    max_stages: int = 1  # GPUs of one node over which an LLM may be split
    min_scale: int = 0
    max_scale: int | None = None  # None: unbounded

    def __post_init__(self) -> None:
        for field, check in FIELD_CHECKS.items():
            object.__setattr__(self, field, check(field, getattr(self, field)))
        if self.slo is not None and not isinstance(self.slo, Slo):
            raise FieldError("slo", "must be a Slo or None", self.slo)
        in_order(self, "sm_request", "sm_limit")
        in_order(self, "rps_request", "rps_limit")
        in_order(self, "min_scale", "max_scale")

    @property
    def slo_ms(self) -> float | None:
        """The latency objective in milliseconds, or None."""
        return None if self.slo is None else self.slo.latency_ms

    @property
    def slo_s(self) -> float | None:
        """The latency objective in seconds, or None."""
        return None if self.slo is None else self.slo.latency_ms / 1000.0


Check = Callable[[str, object], object]


def unless_none(check: Check) -> Check:
    """Return the check of an optional value: None passes."""

    def checked(key: str, value: object) -> object:
        return None if value is None else check(key, value)

    return checked


def in_order(values: object, floor_key: str, key: str) -> None:
    """Raise `FieldError` if a value is below that of `floor_key`, as a limit below its request; either may be None."""
    floor, value = getattr(values, floor_key), getattr(values, key)
    if floor is not None and value is not None and not value >= floor:
        name = floor_key.rpartition("_")[2] if floor_key.endswith("_request") else "minimum"
        raise FieldError(key, f"must be at least the {name}, {shortest(float(floor))}", value, other_key=floor_key)


kind_check: Check = partial(choice, kinds=Kind)
count_check: Check = partial(whole_number, minimum=1)
gpu_count_check: Check = partial(whole_number, minimum=1, maximum=MAX_GPUS)

# One check for each field but `slo`, which is a checked value itself.
FIELD_CHECKS: Final[dict[str, Check]] = {
    "name": label,
    "kind": kind_check,
    "batch": unless_none(count_check),
    "sm_request": unless_none(gpu_milli),
    "sm_limit": unless_none(gpu_milli),
    "gpu_memory_mib": unless_none(memory_mib),
    "gpus": gpu_count_check,
    "rps_request": unless_none(positive_number),
    "rps_limit": unless_none(positive_number),
    "affinity_group": unless_none(label),
    "max_stages": gpu_count_check,
    "min_scale": partial(whole_number, minimum=0),
    "max_scale": unless_none(count_check),
}
