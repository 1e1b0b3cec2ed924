"""A function spec as a mapping of plain values: the keys of the decorator, of dilu.yaml and of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict, Unpack

from dilu.spec.fields import FieldError, positive_number, readable, shortest, unknown_key
from dilu.spec.functions import FIELD_CHECKS, Check, FunctionSpec, Kind, Slo, unless_none
from dilu.spec.quantities import format_memory, read_memory


class SpecOptions(TypedDict, total=False):
    """The keywords of the decorator that form the spec; None means unset."""

    kind: Kind | str
    slo_ms: float | None
    batch: int | None
    sm_request: int | None
    sm_limit: int | None
    gpu_memory: str | int | None
    gpus: int
    rps_request: float | None
    rps_limit: float | None
    affinity_group: str | None
    max_stages: int
    min_scale: int
    max_scale: int | None


# The check of each key. Two keys differ from the spec's fields: `slo_ms` becomes `slo`, and `gpu_memory`
# is a quantity that becomes `gpu_memory_mib`.
_CHECKS: Final[dict[str, Check]] = {
    "name": FIELD_CHECKS["name"],
    "kind": FIELD_CHECKS["kind"],
    "slo_ms": unless_none(positive_number),
    "batch": FIELD_CHECKS["batch"],
    "sm_request": FIELD_CHECKS["sm_request"],
    "sm_limit": FIELD_CHECKS["sm_limit"],
    "gpu_memory": unless_none(read_memory),
    "gpus": FIELD_CHECKS["gpus"],
    "rps_request": FIELD_CHECKS["rps_request"],
    "rps_limit": FIELD_CHECKS["rps_limit"],
    "affinity_group": FIELD_CHECKS["affinity_group"],
    "max_stages": FIELD_CHECKS["max_stages"],
    "min_scale": FIELD_CHECKS["min_scale"],
    "max_scale": FIELD_CHECKS["max_scale"],
}
KEYS: Final = tuple(_CHECKS)
TEXT_KEYS: Final = frozenset({"name", "kind", "affinity_group"})


def function_spec(name: str, **options: Unpack[SpecOptions]) -> FunctionSpec:
    """Return the spec that a decorator's keywords describe.

    >>> function_spec("embed", slo_ms=60, batch=16, gpu_memory="2Gi").gpu_memory_mib
    2048

    `gpu_memory` is a quantity with its unit, or an int of MiB. Raise `ConfigError` naming key, value and rule.
    """
    return from_mapping({"name": name, **options})


def from_mapping(mapping: Mapping[str, object]) -> FunctionSpec:
    """Return the spec that the mapping describes; a missing key is unset. Raise `ConfigError`."""
    try:
        if "name" not in mapping:
            raise FieldError("name", "is required")
        return FunctionSpec(**_fields(mapping))
    except FieldError as error:
        raise error.about("function" if error.key == "name" else f"function {readable(str(mapping['name']))}") from None


def to_mapping(spec: FunctionSpec) -> dict[str, str | int | float | None]:
    """Return every key of the spec with a value for JSON and YAML; unset ones are None.

    Because all keys are present, `merge(any_spec, to_mapping(spec))` is `spec`.
    """
    memory_mib = spec.gpu_memory_mib
    return {
        "name": spec.name,
        "kind": str(spec.kind),
        "slo_ms": _shortest(spec.slo_ms),
        "batch": spec.batch,
        "sm_request": spec.sm_request,
        "sm_limit": spec.sm_limit,
        "gpu_memory": None if memory_mib is None else format_memory(memory_mib),
        "gpus": spec.gpus,
        "rps_request": _shortest(spec.rps_request),
        "rps_limit": _shortest(spec.rps_limit),
        "affinity_group": spec.affinity_group,
        "max_stages": spec.max_stages,
        "min_scale": spec.min_scale,
        "max_scale": spec.max_scale,
    }


def merge(spec: FunctionSpec, overrides: Mapping[str, object]) -> FunctionSpec:
    """Return the spec with the keys of `overrides` in place of its own; None unsets a key. Raise `ConfigError`."""
    return from_mapping({**to_mapping(spec), **overrides})


def _fields(mapping: Mapping[str, object]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in mapping.items():
        if key not in _CHECKS:
            raise unknown_key(key, KEYS)
        fields[key] = _CHECKS[key](key, value)
    if "slo_ms" in fields:
        slo_ms = fields.pop("slo_ms")
        fields["slo"] = None if slo_ms is None else Slo(latency_ms=slo_ms)
    if "gpu_memory" in fields:
        fields["gpu_memory_mib"] = fields.pop("gpu_memory")
    return fields


def _shortest(number: float | None) -> int | float | None:
    return None if number is None else shortest(number)
