"""What to serve: from a TARGET or a dilu.yaml, each function's spec, command line and environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec, names
from dilu.spec.applications import Application, FunctionEntry, Gateway, Route, application_name
from dilu.spec.documents import read_application
from dilu.spec.fields import FieldError, label
from dilu_autoscaler.local.describe_target import DILU, START_LIMIT_S, Found, describe
from dilu_autoscaler.policy.horizontal import DEFAULT_POLICY

DRAIN_S = 300.0
"""A replica that is told to stop may finish requests for this time: as long as the gateway waits for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionPlan:
    """One function: its spec, and how a replica of it is started."""

    spec: FunctionSpec
    target: str
    command: tuple[str, ...]
    folder: Path
    policy: str = DEFAULT_POLICY
    overrides: Mapping[str, object] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    start_limit_s: float = START_LIMIT_S

    def environment(self, *, replica: str, control_fd: int, log_format: str) -> dict[str, str]:
        """Return the environment of one replica; what the platform sets replaces inherited values."""
        inherited = {key: value for key, value in os.environ.items() if key not in names.RESERVED_ENVIRONMENT}
        return {
            **inherited,
            **self.env,
            names.ENV_HOST: "127.0.0.1",
            names.ENV_PORT: "0",
            names.ENV_STATS_PORT: "0",
            names.ENV_FUNCTION_SPEC: msgspec.json.encode(dict(self.overrides)).decode(),
            names.ENV_REPLICA: replica,
            names.ENV_LOG_FORMAT: log_format,
            names.ENV_CONTROL_FD: str(control_fd),
            "PYTHONUNBUFFERED": "1",  # a handler's prints are in the log when they happen
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """The arguments of `dilu up`; None: the value of the file, or the default."""

    target: str | None = None
    name: str | None = None
    host: str | None = None
    port: int | None = None
    route: str | None = None
    policy: str | None = None
    min_scale: int | None = None
    max_scale: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What is known before any code is loaded: enough to claim the name and the port."""

    name: str
    gateway: Gateway
    folder: Path
    request: LaunchRequest
    application: Path | None  # the dilu.yaml
    target: str | None  # a single target, whose functions are not known yet ...
    entries: tuple[FunctionEntry, ...]  # ... or what a dilu.yaml lists


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """A whole application, ready to run."""

    name: str
    folder: Path
    functions: tuple[FunctionPlan, ...]


def read_outline(request: LaunchRequest) -> Outline:
    """Return the outline of the arguments. Raises `ConfigError` with one line if they cannot be used."""
    target = request.target
    if target is None:
        target = names.APPLICATION_FILE
        if not Path(target).is_file():
            raise ConfigError(f"no {target} in this folder: name what to serve, for example `dilu up app.py`")
    if target.endswith((".yaml", ".yml")):
        application = read_application(target)
        name, gateway, folder = application.name, application.gateway, application.folder.resolve()
        entries, single, file = application.functions, None, folder / Path(target).name
    else:
        folder = Path.cwd()
        name, gateway, entries, single, file = application_name(folder), Gateway(), (), target, None
    return Outline(
        name=label("name", request.name or name),
        gateway=Gateway(
            host=request.host or gateway.host,
            port=gateway.port if request.port is None else request.port,
            route=gateway.route if request.route is None else Route(request.route),
        ),
        folder=folder,
        request=request,
        application=file,
        target=single,
        entries=tuple(_with_typed(entry, request) for entry in entries),
    )


async def make_plan(outline: Outline) -> LaunchPlan:
    """Load the code once and return the plan. Raises `ConfigError` with one line if it cannot be loaded."""
    folder = outline.folder
    if outline.target is not None:
        found = await describe(outline.target, folder, {})
        entries = tuple(_with_typed(FunctionEntry(target=target), outline.request) for target, _ in found)
    else:
        entries = outline.entries
        found = await _all_found(_describe_entry(entry, folder) for entry in entries)
    specs = _specs(outline, entries, [spec for _, spec in found])
    functions = tuple(
        FunctionPlan(
            spec=spec,
            target=target,
            command=(*DILU, "serve", target, "--drain-timeout", f"{DRAIN_S:g}"),
            folder=folder,
            policy=str(entry.policy),
            overrides=entry.overrides,
            env=entry.env,
        )
        for entry, (target, _), spec in zip(entries, found, specs, strict=True)
    )
    return LaunchPlan(name=outline.name, folder=folder, functions=functions)


def _specs(
    outline: Outline, entries: tuple[FunctionEntry, ...], declared: Sequence[FunctionSpec]
) -> tuple[FunctionSpec, ...]:
    """Return each function's spec with its overrides. Raises `ConfigError` that names the file."""
    try:
        specs = Application(name=outline.name, functions=entries, folder=outline.folder).specs(declared)
    except FieldError as error:  # of a single target: what is read from a dilu.yaml knows its place
        raise error.about(outline.target or "") from None
    for entry, before, spec in zip(entries, declared, specs, strict=True):
        if (before.batch is None) != (spec.batch is None):
            takes = "one item" if before.batch is None else "a list of items"
            rule = f"the handler of {spec.name} takes {takes}, which only its code can change"
            raise entry.located(FieldError("batch", rule, spec.batch))
    return specs


def _with_typed(entry: FunctionEntry, request: LaunchRequest) -> FunctionEntry:
    typed = {"min_scale": request.min_scale, "max_scale": request.max_scale}
    given = {key: value for key, value in typed.items() if value is not None}
    changes: dict[str, Any] = {"overrides": {**entry.overrides, **given}}
    if request.policy is not None:
        changes["policy"] = request.policy
    return replace(entry, **changes)


async def _describe_entry(entry: FunctionEntry, folder: Path) -> Found:
    target = entry.target_in(folder)
    found = await describe(target, folder, entry.env)
    if len(found) > 1:
        listed = ", ".join(one for one, _ in found)
        raise ConfigError(f"{entry.target}: holds {len(found)} functions, list each one: {listed}")
    return found[0]


async def _all_found(found: Iterable[Coroutine[Any, Any, Found]]) -> list[Found]:
    """Await all of them at once; the first failure cancels the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in found]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
