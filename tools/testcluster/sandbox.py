"""The namespaces of a cluster, from outside: make them, run something in them, end them."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .errors import ClusterError
from .network import NODE_IP, NODE_NETWORK
from .places import PACKAGE, PRIVATE_DIRECTORIES, Places
from .record import ProcessId, process_id

_START_S: Final = 20.0
_END_S: Final = 30.0
_REAPED_S: Final = 2.0
CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """A running set of namespaces, held by its first process."""

    init: ProcessId
    control: Path

    @property
    def network(self) -> str:
        """The network namespace, as a path."""
        return f"/proc/{self.init.pid}/ns/net"

    @property
    def root(self) -> Path:
        """The root directory as the cluster sees it."""
        return Path(f"/proc/{self.init.pid}/root")

    def in_network(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` with this network and the machine's own files."""
        # Not `ip netns exec`: it mounts another /sys, without the cgroups.
        return ["nsenter", f"--net={self.network}", "--", *argv]

    def inside(self, argv: Sequence[str]) -> list[str]:
        """Return the command that runs `argv` entirely inside: its network, files and processes."""
        return ["nsenter", f"--target={self.init.pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--", *argv]

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a component; its output goes to its log."""
        self._ask({"do": "start", "name": name, "argv": list(argv), "environment": dict(environment or {})})

    def states(self) -> dict[str, int | None]:
        """Return the exit code of each component; None for a running one."""
        return self._ask({"do": "states"})

    def stop(self, name: str, *, number: int = signal.SIGTERM, timeout_s: float = 20.0) -> int | None:
        """Send a signal to a component and return its exit code; raise if it does not end in time."""
        self._ask({"do": "signal", "name": name, "number": int(number)})
        try:
            code: int | None = self._ask({"do": "exit", "name": name}, timeout_s=timeout_s)["exit"]
        except TimeoutError as error:
            raise ClusterError(f"{name} still runs {timeout_s:.0f} s after signal {int(number)}") from error
        return code

    def _ask(self, request: Mapping[str, object], timeout_s: float = 10.0) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(timeout_s)
            try:
                connection.connect(str(self.control))
            except OSError as error:
                raise ClusterError(
                    f"the cluster's first process does not answer ({error}): run `down`, then `up`"
                ) from error
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer: dict[str, Any] = json.loads(connection.makefile("rb").readline() or b'{"error": "it ended"}')
        if "error" in answer:
            raise ClusterError(f"{request['do']} {request.get('name', '')}: {answer['error']}")
        return answer


def create_sandbox(places: Places, hostname: str, record_init: Callable[[ProcessId], None]) -> Sandbox:
    """Create namespaces. `record_init` must write the id down: before it returns, the process does nothing lasting."""
    settings = {
        "hostname": hostname,
        "node_ip": NODE_IP,
        "prefix": NODE_NETWORK.partition("/")[2],
        "binds": {str(path): str(places.private(path)) for path in PRIVATE_DIRECTORIES if path != Path("/run")},
        "resolv_conf": str(places.configuration / "resolv.conf"),
        "control": str(places.control),
        "logs": str(places.logs),
    }
    ours, theirs = socket.socketpair()
    with ours, theirs, (places.logs / "init.log").open("ab") as log:
        ours.settimeout(_START_S)
        command = [sys.executable, "-I", str(PACKAGE / "node_init.py"), str(theirs.fileno())]
        parent = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/"
        )
        theirs.close()
        ours.sendall(json.dumps(settings).encode() + b"\n")
        lines = ours.makefile("rb")
        said = _next(lines.readline())
        parent.wait(_START_S)
        init = process_id(said["pid"])
        if init is None:
            raise ClusterError(f"the cluster's first process ended at once: see {places.logs}/init.log")
        record_init(init)
        ours.sendall(b"g")
        _next(lines.readline())
    return Sandbox(init=init, control=places.control)


def _next(line: bytes) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(line or b'{"error": "its first process ended without a word"}')
    if "error" in said:
        raise ClusterError(f"the cluster's namespaces were not made: {said['error']}")
    return said


def end_sandbox(init: ProcessId) -> None:
    """End every process of the cluster: the kernel does so when the first one ends."""
    if init.runs():
        with contextlib.suppress(ProcessLookupError):
            os.kill(init.pid, signal.SIGKILL)
    deadline_s = time.monotonic() + _END_S
    while init.runs():
        if time.monotonic() > deadline_s:
            raise ClusterError(
                f"process {init.pid} is still there {_END_S:.0f} s after SIGKILL: a process of it hangs in the kernel"
            )
        time.sleep(0.01)
    # It is the machine's own first process that takes the zombie away. Some never do, and it is over either way.
    deadline_s = time.monotonic() + _REAPED_S
    while Path(f"/proc/{init.pid}").exists() and time.monotonic() < deadline_s:
        time.sleep(0.01)


def plan_cgroups(name: str) -> tuple[str, ...]:
    """Return the groups that a cluster with this name will have, one per hierarchy; raise if one exists already."""
    paths = [hierarchy / f"dilu-test-cluster-{name}" for hierarchy in _hierarchies()]
    for path in paths:
        if path.exists():
            raise ClusterError(f"control group {path} exists and is no recorded cluster's: choose another --name")
    return tuple(str(path) for path in paths)


def make_cgroups(paths: Sequence[str]) -> None:
    """Create the groups, below which all pods have theirs."""
    for path in paths:
        try:
            Path(path).mkdir()
        except OSError as error:
            raise ClusterError(f"control group {path}: {error.strerror}") from error


def _hierarchies() -> list[Path]:
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS]
    found = sorted(path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink())
    if not found:
        raise ClusterError(f"{CGROUPS}: no control groups are mounted, and the kubelet cannot run without them")
    return found


def remove_cgroups(paths: Sequence[str]) -> None:
    """Remove the groups and those below; the kernel takes a moment to release ended processes."""
    deadline_s = time.monotonic() + _END_S
    for path in paths:
        for group, _, _ in os.walk(path, topdown=False):
            while not _removed(group):
                if time.monotonic() > deadline_s:
                    raise ClusterError(f"control group {group}: still in use {_END_S:.0f} s after its processes ended")
                time.sleep(0.01)


def _removed(group: str) -> bool:
    try:
        Path(group).rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.ENOTEMPTY):
            raise
        return False
    return True


def remove_tree(directory: Path) -> None:
    """Remove a file or a directory of a cluster; raise if something is mounted in it."""
    if directory.is_symlink() or not directory.is_dir():
        directory.unlink()
        return
    prefix = f"{directory}/"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if line.split()[4].startswith(prefix):
            raise ClusterError(f"{line.split()[4]} is a mount of this machine: unmount it, then run `down` again")
    shutil.rmtree(directory)
