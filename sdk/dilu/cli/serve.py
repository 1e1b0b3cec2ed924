"""`dilu serve`: one replica in the foreground. `dilu describe`: the functions of a module, for programs."""

from __future__ import annotations

import logging
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import click

from dilu.cli.own_output import answer_alone

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


@click.command()
@click.argument("target")
@click.option("--host", help="Address to listen on.  [default: $HOST, else 127.0.0.1; 0.0.0.0 on Knative]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks a free one.  [default: $PORT, else 8080]")
@click.option(
    "--stats-port",
    type=click.IntRange(0, 65535),
    help="Port of /metrics, /healthz, /readyz, /v1/stats.  [default: $DILU_STATS_PORT, else 8091]",
)
@click.option("--drain-timeout", type=click.FloatRange(min=0), help="Maximum seconds for a stop.  [default: 30]")
@click.option("--log-format", type=click.Choice(["plain", "json"]), help="[default: $DILU_LOG_FORMAT, else plain]")
def serve(
    target: str,
    host: str | None,
    port: int | None,
    stats_port: int | None,
    drain_timeout: float | None,
    log_format: str | None,
) -> None:
    """Serve one replica of TARGET (FILE.py, FILE.py:NAME or MODULE:NAME).

    \b
    dilu serve app.py:Embed --port 8080
    curl localhost:8080 -d '"a sentence"'

    SIGTERM or Ctrl-C: finishes what was accepted, unloads the model, exits 0.
    """
    from dilu.runtime.logs import configure_logging
    from dilu.runtime.process import exit_surely
    from dilu.runtime.replica import run_replica
    from dilu.runtime.settings import read_settings

    from_environment = read_settings(os.environ)
    settings = replace(
        from_environment,
        host=host or from_environment.host,
        port=from_environment.port if port is None else port,
        stats_port=from_environment.stats_port if stats_port is None else stats_port,
        drain_timeout_s=from_environment.drain_timeout_s if drain_timeout is None else drain_timeout,
        log_format=log_format or from_environment.log_format,
    )
    configure_logging(log_format=settings.log_format, function=target, replica=settings.replica)
    exit_surely(run_replica(target, settings), finish=logging.shutdown)


@click.command(hidden=True)
@click.argument("target")
@click.option("--parent", type=int, help="End when this process, which started the command, ends.")
def describe(target: str, parent: int | None) -> None:
    """Print the functions of TARGET as JSON."""
    if parent is not None:
        _end_with(parent)
    answer_alone(lambda: _described(target))


def _described(target: str) -> bytes:
    import msgspec

    from dilu.loading import file_location, load_functions, split_target
    from dilu.spec import to_mapping

    source, _ = split_target(target)
    if source.endswith(".py"):
        source = str(file_location(Path(source)))
    functions = load_functions(target)
    described = [
        {"target": f"{source}:{attribute}", "spec": to_mapping(definition.spec)}
        for attribute, definition in functions.items()
    ]
    return msgspec.json.encode(described) + b"\n"


def _end_with(parent: int) -> None:
    """Make the kernel kill this process when `parent` ends, even if the module hangs in C (Linux only)."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before that
        os._exit(1)
