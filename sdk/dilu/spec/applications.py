"""The application that `dilu up` serves, the content of dilu.yaml: one gateway and its functions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from dilu.errors import ConfigError
from dilu.spec import names
from dilu.spec.fields import FieldError, Position, choice, label, plain_text, whole_number
from dilu.spec.functions import FunctionSpec
from dilu.spec.mappings import merge

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[A-Za-z0-9_.:-]{1,253}")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_MAX_PORT: Final = 65535


class Route(StrEnum):
    """How the gateway selects a function: by the first part of the path, or by the host name."""

    PATH = "path"
    HOST = "host"


class ScalePolicy(StrEnum):
    """The horizontal policy, which decides how many replicas run. The autoscaler has each under this name."""

    DILU = "dilu"
    DILU_PAPER = "dilu-paper"
    DILU_TARGET = "dilu-target"
    EAGER = "eager"
    HPA = "hpa"
    INFLESS = "infless"
    KPA = "kpa"
    RAY_SERVE = "ray-serve"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The address of the application, and how it routes requests."""

    host: str = "127.0.0.1"
    port: int = names.DEFAULT_PORT  # 0: any free port
    route: Route = Route.PATH

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(plain_text("host", self.host)):
            raise FieldError("host", "must be a host name or an IP address", self.host)
        whole_number("port", self.port, minimum=0, maximum=_MAX_PORT)
        object.__setattr__(self, "route", choice("route", self.route, Route))


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionEntry:
    """One function of an application: its code, and settings that override its decorator."""

    target: str  # FILE.py, FILE.py:NAME, MODULE or MODULE:NAME, as written
    overrides: Mapping[str, object] = field(default_factory=dict, hash=False)  # only the keys that were written
    policy: ScalePolicy = ScalePolicy.DILU
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    position: Position | None = field(default=None, compare=False, repr=False)  # None: not read from a file

    def __post_init__(self) -> None:
        _check_target(self.target)
        plain = {key: str(value) if isinstance(value, StrEnum) else value for key, value in self.overrides.items()}
        try:
            merge(FunctionSpec(name="function"), plain)
        except FieldError as error:
            raise error.about(self.target) from None
        object.__setattr__(self, "overrides", plain)
        object.__setattr__(self, "policy", choice("policy", self.policy, ScalePolicy))
        object.__setattr__(self, "env", _environment(self.env))

    def apply_to(self, spec: FunctionSpec) -> FunctionSpec:
        """Return the decorator's spec with this entry's overrides. Raise `ConfigError`, with file and line if known."""
        try:
            return merge(spec, self.overrides)
        except FieldError as error:
            raise self.located(error) from None

    def target_in(self, folder: Path) -> str:
        """Return the target with a file's path relative to `folder`; a module's name is unchanged."""
        source, colon, attribute = self.target.partition(":")
        return f"{folder / source}{colon}{attribute}" if _is_file(source) else self.target

    def located(self, error: FieldError) -> ConfigError:
        """Return the error with file and line of its key, if this entry was read from a file."""
        return error if self.position is None else self.position.locate(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """Several functions behind one gateway."""

    name: str
    functions: tuple[FunctionEntry, ...]
    gateway: Gateway = Gateway()
    folder: Path = field(default=Path(), compare=False)  # the base of relative targets

    def __post_init__(self) -> None:
        label("name", self.name)
        if not self.functions:
            raise FieldError("functions", "must list at least one function")
        object.__setattr__(self, "functions", tuple(self.functions))
        named = [(entry, entry.overrides["name"]) for entry in self.functions if "name" in entry.overrides]
        _refuse_twice("name", named)
        _refuse_twice("target", [(entry, entry.target) for entry in self.functions if "name" not in entry.overrides])

    def specs(self, declared: Sequence[FunctionSpec]) -> tuple[FunctionSpec, ...]:
        """Return the functions' specs from those of their decorators, in the same order.

        Raise `ConfigError` if an override does not fit, or two functions have the same name.
        """
        pairs = zip(self.functions, declared, strict=True)
        specs = tuple(entry.apply_to(spec) for entry, spec in pairs)
        _refuse_twice("name", [(entry, spec.name) for entry, spec in zip(self.functions, specs, strict=True)])
        return specs


def application_name(folder: Path) -> str:
    """Return the name of an application without one: its folder's name, as a label.

    >>> application_name(Path("/home/me/My Shop"))
    'my-shop'
    """
    words = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower())
    return words[:63].strip("-") or "application"


def _check_target(target: object) -> None:
    source, colon, attribute = plain_text("target", target).partition(":")
    is_source = _is_file(source) or _MODULE.fullmatch(source)
    if not is_source or (colon and not attribute.isidentifier()):
        raise FieldError("target", "must be FILE.py, FILE.py:NAME, MODULE or MODULE:NAME", target)


def _is_file(source: str) -> bool:
    return source.endswith(".py") or "/" in source


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for name, value in env.items():
        key = f"env.{name}"
        if not _ENVIRONMENT_NAME.fullmatch(name):
            raise FieldError(key, "must be a variable's name: letters, digits and _, not starting with a digit")
        if name in names.RESERVED_ENVIRONMENT:
            raise FieldError(key, "is set by the platform")
        checked[name] = plain_text(key, value)
    return checked


def _refuse_twice(key: str, values: Sequence[tuple[FunctionEntry, object]]) -> None:
    first: dict[object, FunctionEntry] = {}
    for entry, value in values:
        if value not in first:
            first[value] = entry
            continue
        earlier = first[value].position
        where = f" (the first is at line {earlier.key_lines.get(key, earlier.line)})" if earlier else ""
        rule = "must differ between functions" if key == "name" else "is listed twice; add a name to each"
        raise entry.located(FieldError(key, f"{rule}{where}", value))
