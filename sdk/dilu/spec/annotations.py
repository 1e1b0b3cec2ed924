"""A function spec as annotations of a Knative Service or an OpenFaaS function, and back without loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dilu.spec import names
from dilu.spec.fields import FieldError, number_or_text, plain_text, readable, unknown_key
from dilu.spec.functions import FunctionSpec
from dilu.spec.mappings import TEXT_KEYS, from_mapping, to_mapping
from dilu.spec.quantities import parse_memory

# The annotation of each key of a spec; its name is the name of the object that carries the annotations.
ANNOTATION_OF: Final = {
    "kind": names.KIND,
    "slo_ms": names.SLO_MS,
    "batch": names.BATCH,
    "sm_request": names.SM_REQUEST,
    "sm_limit": names.SM_LIMIT,
    "gpu_memory": names.GPU_MEMORY,
    "gpus": names.GPUS,
    "rps_request": names.RPS_REQUEST,
    "rps_limit": names.RPS_LIMIT,
    "affinity_group": names.AFFINITY_GROUP,
    "max_stages": names.MAX_STAGES,
    "min_scale": names.MIN_SCALE,
    "max_scale": names.MAX_SCALE,
}
_ALIAS_OF: Final = {names.MIN_SCALE: names.MIN_SCALE_ALIAS, names.MAX_SCALE: names.MAX_SCALE_ALIAS}
_KEYS: Final = tuple(key for key in ANNOTATION_OF.values() if key.startswith(names.PREFIX))
_SYSTEM_KEYS: Final = frozenset({names.SHARE_OVERRIDE, names.GPU_UUIDS, names.GPU_SHARES})


def to_annotations(spec: FunctionSpec) -> dict[str, str]:
    """Return the spec as annotations. Defaults are left out, so that the platform's own defaults apply."""
    plain = to_mapping(FunctionSpec(name=spec.name))
    return {
        ANNOTATION_OF[key]: str(value)
        for key, value in to_mapping(spec).items()
        if key == "kind" or (key != "name" and value != plain[key])
    }


def from_annotations(name: str, annotations: Mapping[str, str]) -> FunctionSpec:
    """Return the spec of the object called `name`. Foreign annotations, and those that Dilu writes, are ignored.

    Raise `ConfigError` naming the annotation, its value and the rule; also for an unknown one under `dilu.dev/`.
    """
    for key in annotations:
        if key.startswith(names.PREFIX) and key not in _KEYS and key not in _SYSTEM_KEYS:
            raise unknown_key(key, _KEYS).about(f"function {readable(name)}")
    written = {key: _annotation(annotations, annotation) for key, annotation in ANNOTATION_OF.items()}
    found = {key: annotation for key, annotation in written.items() if annotation is not None}
    try:
        return from_mapping({"name": name, **{key: _value(key, annotations[found[key]]) for key in found}})
    except FieldError as error:
        if error.key not in found:  # the object's name
            raise
        annotation = found[error.key]
        raise FieldError(
            annotation, error.rule, annotations[annotation], subject=f"function {readable(name)}"
        ) from None


def _annotation(annotations: Mapping[str, str], key: str) -> str | None:
    """Return the spelling under which the annotation exists, or None."""
    if key in annotations:
        return key
    alias = _ALIAS_OF.get(key)
    return alias if alias in annotations else None


def _value(key: str, text: str) -> object:
    plain_text(key, text)
    if key == "gpu_memory":
        return parse_memory(key, text)
    if key in TEXT_KEYS:
        return text
    value = number_or_text(text)
    # Knative writes "unbounded" as 0.
    return None if key == "max_scale" and value == 0 else value
