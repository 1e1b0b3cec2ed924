"""The machine that measures: its cores, its tools, its limits, and the facts that a result records."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Final

from harness.console import BenchmarkError, progress

ROOT: Final = Path(__file__).resolve().parents[2]
_CORES: Final = sorted(os.sched_getaffinity(0))
SERVER_CORE: Final = _CORES[0]
CLIENT_CORE: Final = _CORES[1 % len(_CORES)]
_DEBIAN_PACKAGES: Final = {"wrk": "wrk", "nginx": "nginx-light", "taskset": "util-linux"}


def require_tool(tool: str) -> str:
    """Return the path of `tool`; as root on Debian it is installed if missing, else the error says what to install."""
    path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if path is not None:
        return path
    package = _DEBIAN_PACKAGES.get(tool, tool)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BenchmarkError(f"{tool} is missing. Install Debian's package: sudo apt-get install {package}")
    progress(f"{tool} is missing; installing Debian's package {package}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", package]):
        subprocess.run(command, check=True, stdout=sys.stderr, env=environment)
    path = shutil.which(tool) or shutil.which(tool, path="/usr/sbin:/sbin")
    if path is None:
        raise BenchmarkError(f"{tool} is still missing after apt-get install {package}")
    return path


def pin_client() -> None:
    """Keep this process, and what it starts without a core of its own, on the client's core."""
    os.sched_setaffinity(0, {CLIENT_CORE})


def raise_open_files(wanted: int) -> int:
    """Return the limit of open files after raising it as far as allowed, at most to `wanted`; children inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def machine_facts(packages: Sequence[str]) -> dict[str, object]:
    """Return what a reader needs to judge a figure: date, processor, cores, system, versions."""
    cpu = "unknown"
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    versions = {}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "server_core": SERVER_CORE,
        "client_core": CLIENT_CORE,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": versions,
    }
