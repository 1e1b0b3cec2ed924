"""Runs the autoscaler's process: signals, event loop, stat server, exit code."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import uvloop

from dilu.errors import ConfigError
from dilu.runtime.logs import JsonFormatter
from dilu_autoscaler.knative.configuration.process_settings import (
    ProcessSettings,
    cluster_domain,
    map_names,
    mode_named,
    required,
)
from dilu_autoscaler.knative.process import COMPONENT, Autoscaler
from dilu_autoscaler.knative.reports.stat_traffic import StatTraffic
from dilu_autoscaler.policy.horizontal import policy_named
from dilu_kube.client import KubeClient

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger(__name__)


def configure_logs(log_format: str) -> None:
    """Log one line per event to stderr: JSON for collectors, plain for people."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter(None, None) if log_format == "json" else plain)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("aiohttp").setLevel(logging.WARNING)


def serve(
    environment: Mapping[str, str],
    *,
    mode: str,
    kubeconfig: Path | None,
    policy: str,
    record: Path | None,
    stat_port: int,
    explain_port: int,
) -> int:
    """Serve until a signal and return the exit code. Raises `ConfigError` for invalid settings."""
    settings = ProcessSettings(
        pod_name=required(environment, "POD_NAME"),
        pod_ip=required(environment, "POD_IP"),
        mode=mode_named(mode),
        system_namespace=required(environment, "SYSTEM_NAMESPACE"),
        cluster_domain=cluster_domain(environment),
        kubeconfig=kubeconfig,
        policy=policy_named(policy).name,
        record=record,
        stat_port=stat_port,
        explain_port=explain_port,
        map_names=map_names(environment),
    )
    gc.freeze()  # imported modules stay: the garbage collector need not scan them
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: ProcessSettings) -> int:
    stopped = asyncio.Event()
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    traffic = StatTraffic(settings, time.time)
    try:
        port = await traffic.start()
    except OSError as error:
        raise ConfigError(f"cannot listen on port {settings.stat_port}: {error.strerror}") from None
    _log.info("mode=%s identity=%s port=%d policy=%s", settings.mode, settings.identity, port, settings.policy)
    try:
        client = await KubeClient.connect(settings.kubeconfig, user_agent=COMPONENT)
        try:
            return await _until(stopped, Autoscaler(settings, client, traffic), traffic)
        finally:
            await client.close()
    finally:
        await traffic.stop()


async def _until(stopped: asyncio.Event, autoscaler: Autoscaler, traffic: StatTraffic) -> int:
    """Run the autoscaler until the event and return the exit code; 1 if it ends earlier.

    Activators are disconnected at once: nothing is decided here any more, and the rest may take long if the API hangs.
    Peers queue reports for us until another process holds the buckets.
    """
    running = asyncio.create_task(autoscaler.run())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not running.done():
        _log.info("stopping: releasing the leases")
        running.cancel()
        await traffic.stop()
    try:
        await running
    except asyncio.CancelledError:
        return 0
    except BaseExceptionGroup as errors:
        _log.exception("a part failed; the process ends and must be restarted", exc_info=errors)
        return 1
    _log.error("the autoscaler ended without a signal")
    return 1
