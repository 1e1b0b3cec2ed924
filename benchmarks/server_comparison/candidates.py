"""The four candidates: their names, how each is started, and what its application says of itself."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import harness

CHOSEN: Final = "uvicorn"
RUNNER_UP: Final = "granian RSGI"  # the only other one that can be embedded and learns of a disconnected client
CANDIDATES: Final = ("gunicorn gthread", "granian WSGI", RUNNER_UP, CHOSEN)
# Threads of the WSGI candidates: two batches of 32, and eight for probes and other routes.
WSGI_THREADS: Final = 72

Found = dict[str, Any]  # what was measured of one candidate, by name


def start(name: str, *, threads: int = WSGI_THREADS, drain: str = "ours", **env: str) -> harness.Server:
    """Start a candidate."""
    path = str(harness.ROOT / "benchmarks")
    return harness.start_server(name, _command(name, threads, drain), env={"PYTHONPATH": path, **env})


def _command(name: str, threads: int, drain: str) -> list[str]:
    if name == "gunicorn gthread":
        return [
            sys.executable, "-m", "gunicorn", "apps.server_choice.wsgi:WsgiApp()", "-b", "127.0.0.1:{port}", "-w", "1",
            "-k", "gthread", "--threads", str(threads), "--worker-connections", "8192", "--backlog", "4096",
            "--keep-alive", "75", "--no-control-socket", "--log-level", "warning",
        ]  # fmt: skip
    if name == "granian WSGI":
        return [
            str(Path(sys.executable).with_name("granian")), "apps.server_choice.wsgi:WsgiApp", "--factory",
            "--interface", "wsgi", "--port", "{port}", "--workers", "1", "--blocking-threads", str(threads),
            "--backlog", "4096", "--backpressure", str(max(threads, 1024)), "--no-ws", "--no-log",
        ]  # fmt: skip
    return [
        sys.executable, "-m", "apps.server_choice.embedded", name, "--port", "{port}",
        "--stats-port", str(harness.free_port()), "--drain", drain,
    ]  # fmt: skip


async def seen_by(port: int) -> Found:
    """Return what the application at `port` reports of itself."""
    answer = await harness.fetch(port, harness.http_request("GET", "/facts"))
    found: Found = json.loads(answer.body)
    return found


async def shape(server: harness.Server) -> Found:
    """Return the processes, and the state of the port before and after the load."""
    seen = await seen_by(server.port)
    listeners = 1
    if seen["stats_port"] is not None:
        listeners += (await seen_by(seen["stats_port"]))["pid"] == seen["pid"]
    return {
        "processes": len(server.processes()),
        "port_bound_before_load": server.bound_s < seen["loaded_s"],
        "listeners": listeners,
        "memory_idle_mib": server.memory_mib(),
    }
