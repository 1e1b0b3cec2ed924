"""The measured profile of a function: the schema of profile.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Final

from dilu.errors import ConfigError
from dilu.spec.fields import FieldError, number_from_zero, plain_text, positive_number, whole_number
from dilu.spec.functions import Check, FunctionSpec, Kind, Slo, count_check, in_order, kind_check, unless_none
from dilu.spec.quantities import gpu_milli, memory_mib


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecPoint:
    """One measured point: a batch of `batch` items on `sm_milli` of a GPU takes `ms` milliseconds."""

    batch: int
    sm_milli: int
    ms: float

    def __post_init__(self) -> None:
        whole_number("batch", self.batch, minimum=1)
        gpu_milli("sm_milli", self.sm_milli)
        object.__setattr__(self, "ms", positive_number("ms", self.ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """The time of a replica's cold start, by phase."""

    process_ms: float
    import_ms: float
    load_ms: float
    warmup_ms: float

    def __post_init__(self) -> None:
        for phase in ("process_ms", "import_ms", "load_ms", "warmup_ms"):
            object.__setattr__(self, phase, number_from_zero(phase, getattr(self, phase)))

    @property
    def total_ms(self) -> float:
        """The time from the start of the process to the first possible answer."""
        return self.process_ms + self.import_ms + self.load_ms + self.warmup_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The measured profile of a function on one machine, for one objective. Raise `ConfigError` for invalid values."""

    kind: Kind
    batch: int  # the chosen batch size; 1 for a handler that takes one item per call
    sm_request: int
    sm_limit: int
    rps_request: float  # sustainable rate of one replica at sm_request
    rps_limit: float
    memory_mib: int | None = None  # on each GPU; None: it ran on no GPU
    slo_ms: float | None = None  # the objective of the measurement; None: no objective, as for training
    exec_ms: tuple[ExecPoint, ...] = ()  # the measured curve, sorted by batch, then share
    cold_start_ms: ColdStart | None = None  # None: not measured
    machine: Mapping[str, str] = field(default_factory=dict, hash=False)  # the hardware, such as gpu: A100
    versions: Mapping[str, str] = field(
        default_factory=dict, hash=False
    )  # of the software that affects the speed, such as torch: 2.10
    trials: int | None = None  # number of measurements; None: written by hand

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            object.__setattr__(self, name, check(name, getattr(self, name)))
        in_order(self, "sm_request", "sm_limit")
        in_order(self, "rps_request", "rps_limit")

    def apply_to(self, spec: FunctionSpec) -> FunctionSpec:
        """Return the spec with its unset values taken from the profile.

        `batch` is never taken: unset means that the handler takes one item per call.
        """
        if spec.kind is not self.kind:
            raise ConfigError(f"function {spec.name}: is of kind {spec.kind}, but its profile is of kind {self.kind}")
        slo = None if self.slo_ms is None else Slo(latency_ms=self.slo_ms)
        try:
            return replace(
                spec,
                slo=spec.slo or slo,
                sm_request=spec.sm_request or self.sm_request,
                sm_limit=spec.sm_limit or self.sm_limit,
                gpu_memory_mib=spec.gpu_memory_mib or self.memory_mib,
                rps_request=spec.rps_request or self.rps_request,
                rps_limit=spec.rps_limit or self.rps_limit,
            )
        except FieldError as error:
            raise error.about(f"function {spec.name} with its profile") from None


def _curve(key: str, value: object) -> tuple[ExecPoint, ...]:
    if not isinstance(value, (tuple, list)) or not all(isinstance(point, ExecPoint) for point in value):
        raise FieldError(key, "must be a sequence of ExecPoint", value)
    points = tuple(sorted(value, key=lambda point: (point.batch, point.sm_milli)))
    for before, after in pairwise(points):
        if (before.batch, before.sm_milli) == (after.batch, after.sm_milli):
            raise FieldError(key, f"holds batch {after.batch} at {after.sm_milli} milli-GPU twice")
    return points


def _cold_start(key: str, value: object) -> ColdStart:
    if not isinstance(value, ColdStart):
        raise FieldError(key, "must be a ColdStart or None", value)
    return value


def _texts(key: str, value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise FieldError(key, "must be a mapping of texts to texts", value)
    return {plain_text(key, name): plain_text(f"{key}.{name}", text) for name, text in value.items()}


_CHECKS: Final[dict[str, Check]] = {
    "kind": kind_check,
    "batch": count_check,
    "sm_request": gpu_milli,
    "sm_limit": gpu_milli,
    "rps_request": positive_number,
    "rps_limit": positive_number,
    "memory_mib": unless_none(memory_mib),
    "slo_ms": unless_none(positive_number),
    "exec_ms": _curve,
    "cold_start_ms": unless_none(_cold_start),
    "machine": _texts,
    "versions": _texts,
    "trials": unless_none(partial(whole_number, minimum=1)),
}
