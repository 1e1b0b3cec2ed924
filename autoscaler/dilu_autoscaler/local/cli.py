"""`dilu up`, `ps`, `logs` and `invoke`. Each command imports what it needs when it runs."""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

import click

from dilu.errors import ConfigError
from dilu.spec.applications import Route, ScalePolicy

MAX_ID_LENGTH = 128  # of a request id that the gateway takes over


@click.command()
@click.argument("target", required=False)
@click.option("--host", help="Address to listen on.  [default: from dilu.yaml, else 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 picks a free one.  [default: 8080]")
@click.option(
    "--route",
    type=click.Choice([route.value for route in Route]),
    help="Tell functions apart by /NAME or by NAME.localhost.",
)
@click.option(
    "--policy",
    type=click.Choice([policy.value for policy in ScalePolicy]),
    help="Rule that decides how many replicas run.",
)
@click.option("--min", "min_scale", type=click.IntRange(min=0), help="Minimum number of replicas of each function.")
@click.option("--max", "max_scale", type=click.IntRange(min=1), help="Maximum number of replicas of each function.")
@click.option("--name", help="Name for `dilu ps`, `logs`, `invoke`.  [default: from dilu.yaml, else the folder's name]")
@click.option("--reload", is_flag=True, help="Replace replicas when files of the application change.")
@click.option(
    "--max-body-mib", type=click.IntRange(min=1), default=16, show_default=True, help="Maximum size of a request body."
)
@click.option("--log-format", type=click.Choice(["plain", "json"]), help="Plain lines or JSON; no live view then.")
@click.option("--access-log", is_flag=True, help="One line per request.")
def up(reload: bool, max_body_mib: int, log_format: str | None, access_log: bool, **typed: Any) -> None:
    """Serve TARGET (FILE.py, FILE.py:NAME, MODULE:NAME or a dilu.yaml) with replicas that start and stop with the load.

    \b
    dilu up app.py
    curl localhost:8080 -d '"a sentence"'

    Without TARGET: the dilu.yaml of this folder. Each function is at /NAME, and a single one also at /. The
    gateway's own path is /_dilu/healthz. Ctrl-C finishes accepted requests and stops; a second one stops at once.
    """
    from dilu_autoscaler.local.launch_spec import LaunchRequest
    from dilu_autoscaler.local.up import UpOptions, serve_platform

    options = UpOptions(reload=reload, max_body_mib=max_body_mib, log_format=log_format, access_log=access_log)
    sys.exit(serve_platform(LaunchRequest(**typed), options))


@click.command()
@click.option("--name", help="Only the platform of this name.")
@click.option("--json", "as_json", is_flag=True, help="Print the status of each as one JSON object a line.")
def ps(name: str | None, as_json: bool) -> None:
    """Show what is up: functions, replicas, load, latencies, the last decision; exit code 1 if a platform is silent."""
    from dilu.errors import DiluError
    from dilu_autoscaler.local.client import platforms_up, read_statuses

    answers = [status for _, status in read_statuses(platforms_up(name))]
    statuses = [status for status in answers if not isinstance(status, DiluError)]
    if as_json:
        for status in statuses:
            click.echo(json.dumps(status))
    else:
        _print_tables(statuses)
    for error in answers:
        if isinstance(error, DiluError):
            click.echo(f"dilu: {error}", err=True)
    sys.exit(0 if len(statuses) == len(answers) else 1)


def _print_tables(statuses: list[dict[str, Any]]) -> None:
    from rich.console import Console

    from dilu_autoscaler.local.status_table import replica_table, status_view

    console = Console(width=None if sys.stdout.isatty() else 120)  # a file or a pipe has no width of its own
    for status in statuses:
        console.print(status_view(status))
        console.print(replica_table(status))


@click.command()
@click.argument("function", required=False)
@click.option("--follow", "-f", is_flag=True, help="Keep printing new lines.")
@click.option("--replica", help="Only this replica, such as embed-2.")
@click.option("--lines", "-n", type=click.IntRange(min=0), default=50, show_default=True, help="Last lines of each.")
@click.option("--name", help="The platform, if several are up.")
def logs(function: str | None, follow: bool, replica: str | None, lines: int, name: str | None) -> None:
    """Print what replicas wrote, also those that ended lately."""
    from dilu_autoscaler.local.client import platform_with, read_logs

    platform, _ = platform_with(function, name)
    try:
        for line in read_logs(platform, function=function, replica=replica, lines=lines, follow=follow):
            click.echo(line, nl=False)
    except KeyboardInterrupt:
        return


@click.command()
@click.argument("function")
@click.option("--data", "-d", help="The JSON value to send.")
@click.option("--data-file", type=click.File("rb"), help="A file to send; - is stdin, which is also the default.")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=300.0,
    show_default=True,
    help="Seconds.",
)
@click.option("--request-id", help="X-Request-Id, to find the call in the logs.")
@click.option("--name", help="The platform, if several have such a function.")
def invoke(
    function: str,
    data: str | None,
    data_file: BinaryIO | None,
    timeout_s: float,
    request_id: str | None,
    name: str | None,
) -> None:
    """Call FUNCTION through the gateway and print its answer; exit code 1 if that is an error or breaks off.

    \b
    dilu invoke embed --data '"a sentence"'
    """
    from dilu_autoscaler.local.client import CallFailedError, Invocation, platform_with

    if request_id is not None:
        _check_request_id(request_id)
    if data is not None and data_file is not None:
        raise click.UsageError("--data and --data-file exclude each other")
    body = data.encode() if data is not None else (data_file or sys.stdin.buffer).read()
    _, status = platform_with(function, name)
    url = next(one["url"] for one in status["functions"] if one["name"] == function)
    headers = {"Content-Type": "application/json"} | ({"X-Request-Id": request_id} if request_id else {})
    output = sys.stdout.buffer
    try:
        call = Invocation(url, body, timeout_s=timeout_s, headers=headers)
        for piece in call.body():
            output.write(piece)
            output.flush()
    except CallFailedError as error:
        click.echo(f"dilu: {error}", err=True)
        sys.exit(1)
    if output.isatty():
        output.write(b"\n")
    sys.exit(0 if call.status < 400 else 1)


def _check_request_id(text: str) -> None:
    """Raise `ConfigError` for an id that the gateway would replace."""
    if not (text and len(text) <= MAX_ID_LENGTH and text.isascii() and text.isprintable()):
        raise ConfigError(f"--request-id {text!r}, must be 1 to {MAX_ID_LENGTH} printable ASCII characters")
