"""The process of `dilu up`: it claims name and port, loads the code, serves, and cleans up."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from dilu.errors import ConfigError
from dilu.http.listener import bind
from dilu.spec.applications import Gateway
from dilu_autoscaler.local.console_log import configure_events
from dilu_autoscaler.local.launch_spec import LaunchRequest, Outline, make_plan, read_outline
from dilu_autoscaler.local.platform import Platform, termination_signals
from dilu_autoscaler.local.proxied_request import GatewayLimits
from dilu_autoscaler.local.reload import reload_on_change, sources_of
from dilu_autoscaler.local.run_directory import Claim, claim, run_directory, running

if TYPE_CHECKING:
    from rich.console import Console

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpOptions:
    """How `dilu up` itself behaves."""

    reload: bool = False
    max_body_mib: int = 16
    log_format: str | None = None  # None: a live view on a terminal, plain lines elsewhere
    access_log: bool = False


def serve_platform(request: LaunchRequest, options: UpOptions) -> int:
    """Serve until told to stop. Return the exit code. Raises `DiluError` if the target cannot be served."""
    console = _terminal() if options.log_format is None else None
    configure_events(log_format=options.log_format or "plain", access_log=options.access_log, console=console)
    _allow_many_files()
    outline = read_outline(request)
    root = run_directory(os.environ)
    held = claim(root, outline.name)
    try:
        # Both are claimed before the code is loaded, which may take long.
        with (
            _bind(outline.gateway, root) as gateway_socket,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            return runner.run(_serve(outline, held, gateway_socket, options, console))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    finally:
        held.release()


async def _serve(
    outline: Outline, held: Claim, gateway_socket: socket.socket, options: UpOptions, console: Console | None
) -> int:
    task = asyncio.current_task()
    assert task is not None
    # Until the platform handles signals itself: the child that loads the code must end with us.
    for number in termination_signals():
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    sources = await sources_of(outline) if options.reload else None
    platform = Platform(
        await make_plan(outline),
        held,
        gateway_socket,
        route=outline.gateway.route,
        gateway_limits=GatewayLimits(max_body_bytes=options.max_body_mib * 1024 * 1024),
        log_format=options.log_format or "plain",
    )
    beside: list[asyncio.Task[None]] = []
    if sources is not None:
        beside.append(asyncio.ensure_future(reload_on_change(platform, outline, sources)))
    if console is not None:
        from dilu_autoscaler.local.status_table import show_live

        beside.append(asyncio.ensure_future(show_live(platform.status, console)))
    for beside_it in beside:
        beside_it.add_done_callback(_log_failure)
    try:
        return await platform.run()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    """Log the failure of a task beside the platform, which does not stop the platform."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s: %s", type(error).__name__, error)


def _bind(gateway: Gateway, root: Path) -> socket.socket:
    """Bind the gateway's socket. Raises `ConfigError` that names the `dilu up` on that port, if it is one."""
    try:
        return bind(gateway.host, gateway.port)
    except ConfigError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE):
            raise
        address = f"{gateway.host}:{gateway.port} is in use"
        for one in running(root):
            if one.url.endswith(f":{gateway.port}"):
                held = f"{address} by the `dilu up` called {one.name} (pid {one.pid})"
                raise ConfigError(f"{held}; stop it, or use another --port") from None
        raise ConfigError(f"{address}; stop what uses it, or use another --port") from None


def _terminal() -> Console | None:
    """Return the terminal for the live view, or None."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Console(stderr=True)


def _allow_many_files() -> None:
    """Raise the limit on open files to the maximum that the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
