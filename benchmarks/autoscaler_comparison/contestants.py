"""The autoscalers that are compared, as processes of a world: one at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import harness
from autoscaler_comparison.world import SYSTEM_NAMESPACE, World
from harness import BenchmarkError
from harness.processes import process_table, resident_kib
from testcluster.errors import ClusterError
from testcluster.network import NODE_IP

OURS: Final = "ours"
STOCK: Final = "stock"
OUR_COMMAND: Final = (sys.executable, "-m", "dilu", "autoscaler")
STATS_PORT: Final = 8080
LEASE: Final = "autoscaler-bucket-00-of-01"
_TAKEN_S: Final = 60.0
_END_S: Final = 40.0
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAUSE_S: Final = 0.05


def ours_is_there() -> bool:
    """Return whether our autoscaler is installed."""
    command = [*OUR_COMMAND, "--help"]
    return subprocess.run(command, cwd=harness.ROOT, capture_output=True, check=False).returncode == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """CPU time of a program so far, and its present memory."""

    cpu_s: float
    rss_mib: float
    pss_mib: float
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A running autoscaler that holds the lease."""

    name: str
    pid: int

    def used(self) -> Used:
        """Return what all its processes have used."""
        return used_by(self.pid)


def used_by(leader: int) -> Used:
    """Return what the session of this process has used, ended threads included."""
    pids = [pid for pid, process in process_table().items() if process.session == leader]
    cpu_s, rss_kib, pss_kib, threads = 0.0, 0, 0, 0
    for pid in pids:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
            threads += int(fields[17])
            rss_kib += int(fields[21]) * os.sysconf("SC_PAGE_SIZE") // 1024
            pss_kib += resident_kib(pid)
    return Used(cpu_s=cpu_s, rss_mib=rss_kib / 1024, pss_mib=pss_kib / 1024, threads=threads)


@contextlib.contextmanager
def running(world: World, name: str) -> Iterator[Contestant]:
    """Run the autoscaler of this name, and wait for its lease; at the end it has stopped and released it."""
    command = _command(world, name)
    component = f"autoscaler-{name}"
    world.sandbox.start(component, command, _environment(world, name))
    try:
        _wait_until_leading(world, name, component)
        yield Contestant(name=name, pid=world.process_of(command))
    except ClusterError as error:
        raise BenchmarkError(str(error)) from error
    finally:
        if world.sandbox.states().get(component, 0) is None:
            _end(world, component)


def _end(world: World, component: str) -> None:
    """Stop it; one that is too busy to end in time, as stock may be with 3,000 pods, is killed and its lease freed."""
    try:
        world.sandbox.stop(component, timeout_s=_END_S)
    except ClusterError as error:
        harness.progress(f"  {error}; killed")
        world.sandbox.stop(component, number=signal.SIGKILL)
    if holder(world):
        free = {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}}
        world.api.patch("coordination.k8s.io/v1", "Lease", LEASE, SYSTEM_NAMESPACE, free)


def _command(world: World, name: str) -> list[str]:
    if name == STOCK:
        return [str(world.stock)]
    return [*OUR_COMMAND, "--kubeconfig", str(world.kubeconfig)]


def _environment(world: World, name: str) -> Mapping[str, str]:
    return {
        "SYSTEM_NAMESPACE": SYSTEM_NAMESPACE,
        "POD_NAME": f"autoscaler-{name}",
        "POD_IP": NODE_IP,
        "KUBECONFIG": str(world.kubeconfig),
        "CONFIG_LOGGING_NAME": "config-logging",
        "CONFIG_OBSERVABILITY_NAME": "config-observability",
    }


def holder(world: World) -> str:
    """Return the holder of the lease; "" if there is none."""
    for lease in world.api.items("coordination.k8s.io/v1", "Lease", SYSTEM_NAMESPACE):
        if lease["metadata"]["name"] == LEASE:
            return str(lease["spec"].get("holderIdentity") or "")
    return ""


def _wait_until_leading(world: World, name: str, component: str) -> None:
    until_s = time.monotonic() + _TAKEN_S
    log = world.places.logs / f"{component}.log"
    while not holder(world).startswith(f"autoscaler-{name}_"):
        code = world.sandbox.states().get(component)
        if code is not None or time.monotonic() > until_s:
            what = f"ended with exit code {code}" if code is not None else f"does not lead after {_TAKEN_S:.0f} s"
            lines = "\n".join(line[:400] for line in log.read_text(errors="replace").splitlines()[-12:])
            raise BenchmarkError(f"{name} {what}. The end of its log:\n{lines}")
        time.sleep(_PAUSE_S)
