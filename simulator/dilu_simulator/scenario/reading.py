"""scenario.yaml, read into a `Scenario`; what cannot be used is named by file, line, key, value and rule."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final, TypeVar

from dilu.errors import ConfigError
from dilu.spec.fields import FieldError, positive_number, whole_number
from dilu.spec.quantities import read_memory
from dilu.spec.yaml_sections import Section, read_section
from dilu_autoscaler.policy.vertical import vertical_policy_named
from dilu_simulator.custom_policies import policy_for
from dilu_simulator.devices import placement_named
from dilu_simulator.models import Model, model_named
from dilu_simulator.scenario.loads import read_load, read_tokens
from dilu_simulator.scenario.scenarios import (
    InferenceFunction,
    Scenario,
    TrainingJob,
    check_fits,
)
from dilu_simulator.scenario.sizes import ClusterSize, ColdStartDelay

_KEYS: Final = ("name", "duration", "cluster", "policy", "vertical", "placement", "functions", "training")
_CLUSTER: Final = {
    "nodes": "nodes",
    "gpus": "gpus_per_node",
    "gpu_memory": "gpu_memory_mib",
    "omega": "omega_milli",
    "gamma": "gamma_milli",
}
_COLD_START: Final = {
    "image": "image_s",
    "process": "process_s",
    "import": "import_s",
    "load": "load_s",
    "warm_up": "warm_up_s",
}
_SHARED: Final = ("sm_request", "sm_limit", "gpus")
_FUNCTION: Final = ("slo_ms", "batch", *_SHARED, "min_scale", "max_scale", "warm", "admission", "policy")
_JOB: Final = (*_SHARED, "iterations")
_OTHER: Final = ("name", "model", "copies", "gpu_memory", "cold_start")
_MAX_COPIES: Final = 10_000
_PRESETS: Final = "dilu_simulator.presets"
_Entry = TypeVar("_Entry", InferenceFunction, TrainingJob)


def read_scenario(path: str | Path) -> Scenario:
    """Read a scenario file; paths of traces in it are relative to its folder."""
    path = Path(path)
    top = read_section(path, _KEYS)
    top.require("duration")
    folder = path.parent
    with _located(top, "policy"):
        policy = _text(top, "policy", "dilu", policy_for)
    with _located(top, "vertical"):
        vertical = _text(top, "vertical", "dilu", vertical_policy_named)
    with _located(top, "placement"):
        placement = top.text("placement")
        if placement is not None:
            placement_named(placement)
    functions = top.sections("functions", (*_FUNCTION, *_OTHER, "load", "tokens"))
    jobs = top.sections("training", (*_JOB, *_OTHER, "start"))
    with _located(top, "duration"):
        duration_s = positive_number("duration", top.value("duration"))
    cluster = _cluster(top)
    names: set[str] = set()
    entries: list[InferenceFunction] = []
    trained: list[TrainingJob] = []
    for section in functions:
        entries += _named(section, names, _functions(section, folder, duration_s, cluster))
    for section in jobs:
        trained += _named(section, names, _jobs(section, cluster))
    with _located(top, "functions"):
        return Scenario(
            name=top.text("name") or path.stem,
            duration_s=duration_s,
            cluster=cluster,
            functions=tuple(entries),
            training=tuple(trained),
            policy=policy,
            vertical=vertical,
            placement=placement,
        )


def preset_names() -> list[str]:
    """Return the scenarios that come with the simulator."""
    found = (entry.name for entry in files(_PRESETS).iterdir())
    return sorted(name.removesuffix(".yaml") for name in found if name.endswith(".yaml"))


def read_preset(name: str) -> Scenario:
    """Return the scenario of that name that comes with the simulator."""
    if name not in preset_names():
        raise ConfigError(f"preset = {name!r}, must be one of: {', '.join(preset_names())}")
    with as_file(files(_PRESETS) / f"{name}.yaml") as path:
        return read_scenario(path)


@contextmanager
def _located(section: Section, key: str) -> Iterator[None]:
    """Give every error of the block the file and line of its key, or of this one."""
    position = section.position
    try:
        with section.locating():
            yield
    except FieldError:
        raise
    except ConfigError as error:
        text = str(error)
        if text.startswith(f"{position.file}:"):
            raise
        line = position.key_lines.get(section.path + key, position.line)
        raise ConfigError(f"{position.file}:{line}: {text}") from None


def _text(section: Section, key: str, default: str, check: Any) -> str:
    written = section.text(key)
    text = default if written is None else written
    check(text)
    return text


def _cluster(top: Section) -> ClusterSize:
    section = top.section("cluster", tuple(_CLUSTER))
    if section is None:
        return ClusterSize()
    with _located(section, "nodes"):
        values = {field: section.value(key) for key, field in _CLUSTER.items() if key in section}
        if "gpu_memory_mib" in values:
            values["gpu_memory_mib"] = read_memory("gpu_memory", values["gpu_memory_mib"])
        try:
            return ClusterSize(**values)  # type: ignore[arg-type]  # each field checks its own value
        except FieldError as error:
            keys = {field: key for key, field in _CLUSTER.items()}
            raise FieldError(keys.get(error.key, error.key), error.rule, error.seen) from None


def _functions(section: Section, folder: Path, duration_s: float, cluster: ClusterSize) -> Iterator[InferenceFunction]:
    section.require("name", "model", "load")
    values = _values(section, _FUNCTION)
    arrivals, recorded = read_load(section, folder, duration_s)
    tokens = read_tokens(section)
    with _located(section, "policy"):
        if "policy" in values:
            policy_for(str(values["policy"]))
    with _located(section, "name"):
        model = _model(section)
        if tokens is not None and recorded is not None:
            raise FieldError("tokens", "must be left out: the trace of the load has them")
        function = InferenceFunction(
            name=str(section.text("name")), model=model, arrivals=arrivals, tokens=tokens or recorded, **values
        )
        yield from _copies(section, function, cluster)


def _named(section: Section, names: set[str], entries: Iterator[_Entry]) -> Iterator[_Entry]:
    """Return the entries and reserve their names; raise at the line of one that is taken already."""
    for entry in entries:
        with _located(section, "name"):
            if entry.name in names:
                raise FieldError("name", "must differ between functions and training jobs", entry.name)
        names.add(entry.name)
        yield entry


def _jobs(section: Section, cluster: ClusterSize) -> Iterator[TrainingJob]:
    section.require("name", "model")
    values = _values(section, _JOB)
    with _located(section, "name"):
        if section.value("start") is not None:
            values["start_s"] = section.value("start")
        job = TrainingJob(name=str(section.text("name")), model=_model(section), **values)
        yield from _copies(section, job, cluster)


def _values(section: Section, keys: tuple[str, ...]) -> dict[str, Any]:
    """Return what was written, by the names of the fields."""
    values: dict[str, Any] = {key: section.value(key) for key in keys if section.value(key) is not None}
    with _located(section, "gpu_memory"):
        if section.value("gpu_memory") is not None:
            values["gpu_memory_mib"] = read_memory("gpu_memory", section.value("gpu_memory"))
        cold_start = _cold_start(section)
        if cold_start is not None:
            values["cold_start"] = cold_start
    return values


def _cold_start(section: Section) -> ColdStartDelay | None:
    phases = section.section("cold_start", tuple(_COLD_START))
    if phases is None:
        return None
    with _located(phases, "load"):
        values: dict[str, Any] = {field: phases.value(key) for key, field in _COLD_START.items() if key in phases}
        try:
            return ColdStartDelay(**values)
        except FieldError as error:
            keys = {field: key for key, field in _COLD_START.items()}
            raise FieldError(keys[error.key], error.rule, error.seen) from None


def _model(section: Section) -> Model:
    name = str(section.text("model"))
    try:
        return model_named(name)
    except ConfigError as error:
        raise FieldError("model", str(error).partition(", ")[2], name) from None


def _copies(section: Section, entry: Any, cluster: ClusterSize) -> Iterator[Any]:
    """Return the entry, or numbered copies of it; raise at its own line if none could ever find room."""
    check_fits(entry, cluster)
    copies = section.value("copies")
    if copies is None:
        yield entry
        return
    for number in range(1, whole_number("copies", copies, minimum=1, maximum=_MAX_COPIES) + 1):
        yield replace(entry, name=f"{entry.name}-{number}")
