"""The process of `dilu up`: outline, claim name and port, plan, serve, leave nothing behind."""

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
from dilu_autoscaler.local.exchange import GatewayLimits
from dilu_autoscaler.local.launch_spec import LaunchRequest, Outline, make_plan, read_outline
from dilu_autoscaler.local.platform import Platform, termination_signals
from dilu_autoscaler.local.reload import reload_on_change, sources_of
from dilu_autoscaler.local.rundir import Claim, claim, run_directory, running

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
    """Serve what was typed until it is told to stop; the exit code. Raises `DiluError` if it cannot be served."""
    console = _terminal() if options.log_format is None else None
    configure_events(log_format=options.log_format or "plain", access_log=options.access_log, console=console)
    _allow_many_files()
    outline = read_outline(request)
    root = run_directory(os.environ)
    held = claim(root, outline.name)
    try:
        # Both are claimed before any code is loaded, which may take long.
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
    # Until the platform listens to signals itself: the child that loads the code must not stay behind.
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
        from dilu_autoscaler.local.view import show_live

        beside.append(asyncio.ensure_future(show_live(platform.status, console)))
    for beside_it in beside:
        beside_it.add_done_callback(_say_failure)
    try:
        return await platform.run()
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


def _say_failure(task: asyncio.Task[None]) -> None:
    """What runs beside the platform may fail without stopping it, but not in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("%s: %s", type(error).__name__, error)


def _bind(gateway: Gateway, root: Path) -> socket.socket:
    """The gateway's socket. Raises `ConfigError` that says who has the port, if that is one of us."""
    try:
        return bind(gateway.host, gateway.port)
    except ConfigError as error:
        if not (isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE):
            raise
        address = f"{gateway.host}:{gateway.port} is in use"
        for one in running(root):
            if one.url.endswith(f":{gateway.port}"):
                held = f"{address} by the `dilu up` called {one.name} (pid {one.pid})"
                raise ConfigError(f"{held}; stop that, or take another --port") from None
        raise ConfigError(f"{address}; stop what uses it, or take another --port") from None


def _terminal() -> Console | None:
    """The terminal to draw on, if there is one."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    return Console(stderr=True)


def _allow_many_files() -> None:
    """Let this process have as many connections as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
