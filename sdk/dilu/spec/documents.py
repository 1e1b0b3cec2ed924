"""Reading and writing of dilu.yaml and profile.yaml. An error is one line: `FILE:LINE: key: rule (seen value)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Final

import yaml

from dilu.errors import ConfigError
from dilu.spec import names
from dilu.spec.applications import Application, FunctionEntry, Gateway, ScalePolicy, application_name
from dilu.spec.fields import number_from_zero, shortest
from dilu.spec.mappings import KEYS, TEXT_KEYS
from dilu.spec.profiles import ColdStart, ExecPoint, Profile
from dilu.spec.yaml_sections import Section, read_section

_APPLICATION_KEYS: Final = ("name", "gateway", "functions")
_GATEWAY_KEYS: Final = ("host", "port", "route")
_ENTRY_KEYS: Final = ("target", *KEYS, "policy", "env")
_POINT_KEYS: Final = ("batch", "sm_milli", "ms")
_PROFILE_NUMBERS: Final = (
    "batch",
    "sm_request",
    "sm_limit",
    "memory_mib",
    "rps_request",
    "rps_limit",
    "slo_ms",
    "trials",
)
_PROFILE_KEYS: Final = tuple(field.name for field in fields(Profile))
_PROFILE_REQUIRED: Final = ("kind", "batch", "sm_request", "sm_limit", "rps_request", "rps_limit")
_WIDTH: Final = 4096  # no folding of long lines


def read_application(path: Path | str) -> Application:
    """Read the application of a dilu.yaml. Raise `ConfigError`."""
    path = Path(path)
    root = read_section(path, _APPLICATION_KEYS)
    root.require("functions")
    gateway = root.section("gateway", _GATEWAY_KEYS)
    functions = tuple(_entry(section) for section in root.sections("functions", _ENTRY_KEYS))
    with root.locating():
        return Application(
            name=root.text("name") or application_name(path.parent),
            gateway=Gateway() if gateway is None else _gateway(gateway),
            functions=functions,
            folder=path.parent,
        )


def write_application(application: Application, path: Path | str) -> None:
    """Write the application as a dilu.yaml, from which `read_application` reads an equal one."""
    gateway = application.gateway
    _write(
        Path(path),
        {
            "name": application.name,
            "gateway": {"host": gateway.host, "port": gateway.port, "route": str(gateway.route)},
            "functions": [_entry_mapping(entry) for entry in application.functions],
        },
    )


def read_profile(path: Path | str) -> Profile:
    """Read the profile of a profile.yaml. Raise `ConfigError`."""
    root = read_section(Path(path), _PROFILE_KEYS)
    root.require(*_PROFILE_REQUIRED)
    values: dict[str, Any] = {key: root.value(key) for key in _PROFILE_NUMBERS}
    values["kind"] = root.text("kind")
    for key in ("machine", "versions"):
        section = root.section(key, known=None)
        values[key] = {} if section is None else section.texts()
    values["exec_ms"] = tuple(_point(section) for section in root.sections("exec_ms", _POINT_KEYS))
    cold_start = root.section("cold_start_ms", names.COLD_START_PHASES)
    values["cold_start_ms"] = None if cold_start is None else _cold_start(cold_start)
    with root.locating():
        return Profile(**values)


def write_profile(profile: Profile, path: Path | str) -> None:
    """Write the profile as a profile.yaml, from which `read_profile` reads an equal one, without unset values."""
    values: dict[str, object] = {"kind": str(profile.kind)}
    for key in _PROFILE_NUMBERS:
        number = getattr(profile, key)
        values[key] = shortest(number) if isinstance(number, float) else number
    values |= {
        "exec_ms": list(profile.exec_ms) or None,
        "cold_start_ms": profile.cold_start_ms,
        "machine": dict(profile.machine) or None,
        "versions": dict(profile.versions) or None,
    }
    _write(Path(path), {key: value for key, value in values.items() if value is not None})


def _gateway(section: Section) -> Gateway:
    texts = {key: section.text(key) for key in ("host", "route")}
    values: dict[str, Any] = {"port": section.value("port"), **texts}
    with section.locating():
        return Gateway(**{key: value for key, value in values.items() if value is not None})


def _entry(section: Section) -> FunctionEntry:
    section.require("target")
    env = section.section("env", known=None)
    env_lines = {} if env is None else env.position.key_lines
    position = replace(section.position, key_lines={**section.position.key_lines, **env_lines})
    target: Any = section.text("target")
    policy: Any = section.text("policy") or ScalePolicy.DILU
    overrides = {key: section.text(key) if key in TEXT_KEYS else section.value(key) for key in KEYS if key in section}
    with position.locating():
        return FunctionEntry(
            target=target,
            overrides=overrides,
            policy=policy,
            env={} if env is None else env.texts(),
            position=position,
        )


def _entry_mapping(entry: FunctionEntry) -> dict[str, object]:
    mapping: dict[str, object] = {"target": entry.target, **entry.overrides, "policy": str(entry.policy)}
    return mapping | {"env": dict(entry.env)} if entry.env else mapping


def _point(section: Section) -> ExecPoint:
    section.require(*_POINT_KEYS)
    values: dict[str, Any] = {key: section.value(key) for key in _POINT_KEYS}
    with section.locating():
        return ExecPoint(**values)


def _cold_start(section: Section) -> ColdStart:
    section.require(*names.COLD_START_PHASES)
    with section.locating():
        phases = {phase: number_from_zero(phase, section.value(phase)) for phase in names.COLD_START_PHASES}
    return ColdStart(**{f"{phase}_ms": value for phase, value in phases.items()})


class _Dumper(yaml.SafeDumper):
    """Dumps texts so that they are read back unchanged, and each measured point on one line."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        # The plain and the single-quoted style lose some line breaks, such as U+0085.
        return self.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')

    def represent_point(self, point: ExecPoint) -> yaml.MappingNode:
        return self._one_line({key: getattr(point, key) for key in _POINT_KEYS})

    def represent_cold_start(self, cold_start: ColdStart) -> yaml.MappingNode:
        return self._one_line({phase: getattr(cold_start, f"{phase}_ms") for phase in names.COLD_START_PHASES})

    def _one_line(self, numbers: dict[str, float]) -> yaml.MappingNode:
        short = {key: shortest(float(number)) for key, number in numbers.items()}
        return self.represent_mapping("tag:yaml.org,2002:map", short, flow_style=True)


_Dumper.add_representer(str, _Dumper.represent_text)
_Dumper.add_representer(ExecPoint, _Dumper.represent_point)
_Dumper.add_representer(ColdStart, _Dumper.represent_cold_start)


def _write(path: Path, mapping: Mapping[str, object]) -> None:
    text = yaml.dump(mapping, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
