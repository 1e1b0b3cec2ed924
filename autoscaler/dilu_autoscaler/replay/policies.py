"""The policy that a command line names: one of ours, or a function in a file."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

from dilu.errors import ConfigError, LoadError
from dilu.spec import from_mapping
from dilu.spec.mappings import KEYS
from dilu.spec.yaml_sections import read_section
from dilu_autoscaler.policy.horizontal import (
    AnyPolicy,
    Observation,
    Policy,
    policy_named,
)
from dilu_autoscaler.replay.scalers import KpaScaler, PolicyScaler, Scaler
from dilu_autoscaler.replay.spec_keys import SPEC_KEYS, read_settings

KPA: Final = "kpa"


def scaler_named(name: str) -> Scaler:
    """Return a new scaler for a policy's name or `FILE.py:NAME`. Raises `ConfigError` or `LoadError`.

    The file's name is a function `decide(spec, seen, state, now_s) -> (Decision, state)` with a `KpaSpec`, an
    `Observation` and None as the first state; or a `Policy`.
    """
    if name == KPA:
        return KpaScaler()
    path, _, attribute = name.rpartition(":")
    if not path.endswith(".py"):
        if name.endswith(".py") or "/" in name:
            raise ConfigError(f"policy = {name!r}: name the function in the file, {name}:FUNCTION")
        return PolicyScaler(policy_named(name), reads_kpa_keys=False)
    found = _attribute(Path(path), attribute)
    if isinstance(found, Policy):
        return PolicyScaler(found, reads_kpa_keys=False)
    policy: AnyPolicy = Policy(name=name, settings_for=_no_function, initial_state=_no_state, decide=found)
    return PolicyScaler(policy, reads_kpa_keys=True)


def _attribute(path: Path, name: str) -> Any:
    if not path.is_file():
        raise LoadError(f"{path}: no such file")
    spec = importlib.util.spec_from_file_location(f"dilu_policy_{path.stem}", path)
    assert spec is not None  # its name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise LoadError(f"{path}: {type(error).__name__}: {error}") from error
    found = getattr(module, name, None)
    if not (callable(found) or isinstance(found, Policy)):
        raise LoadError(f"{path}: has no function {name!r}")
    return found


def _no_state(settings: Any, seen: Observation, now_s: float) -> Any:
    return None


def _no_function(function: object) -> Any:
    raise AssertionError("a function in a file gets KPA's keys")


def read_spec_file(path: Path | None, policy: str) -> dict[str, object]:
    """Return the keys of a spec file, each with a valid value; none if there is no file, or it is blank."""
    if path is None or _is_blank(path):
        return {}
    is_kpa = policy == KPA or ".py:" in policy
    section = read_section(path, SPEC_KEYS if is_kpa else KEYS)
    keys = {key: section.value(key) for key in section.nodes}
    with section.locating():
        if is_kpa:
            read_settings(keys)
        else:
            from_mapping({"name": "replayed", **keys})
    return keys


def _is_blank(path: Path) -> bool:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return False  # read_section says what is wrong
    return all(line.strip() in ("", "---") or line.lstrip().startswith("#") for line in lines)
