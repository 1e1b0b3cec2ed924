"""The first process of a cluster: makes its namespaces, starts its components, reaps them. `python -I node_init.py FD`.

It holds the namespaces of processes, mounts, network, host name and IPC. When it ends, however that happens, the kernel
ends every process in them, and mounts, devices and packet filter rules go with the last one. Standard library only: it
runs alone, from this file.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_NEW_MOUNTS, _NEW_UTS, _NEW_IPC, _NEW_PID, _NEW_NET = 0x20000, 0x4000000, 0x8000000, 0x20000000, 0x40000000
_BIND, _RECURSIVE, _PRIVATE, _SHARED = 4096, 16384, 1 << 18, 1 << 20
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    if _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {source} on {target}: {os.strerror(ctypes.get_errno())}")


def detach_and_fork() -> int:
    """In the parent the pid of the first process, as the machine sees it; 0 in that process, which is pid 1 inside."""
    os.setsid()
    if _libc.unshare(_NEW_MOUNTS | _NEW_UTS | _NEW_IPC | _NEW_PID | _NEW_NET) != 0:
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}")
    return os.fork()


def make_mounts(settings: dict[str, Any]) -> None:
    """Mount /proc, /run, /var/lib and /var/log for the cluster alone; the machine sees none of these mounts."""
    resolv = Path("/etc/resolv.conf").resolve()
    mount("none", "/", "", _RECURSIVE | _PRIVATE)
    mount("proc", "/proc", "proc", 0)
    mount("tmpfs", "/run", "tmpfs", 0, "mode=755")
    for target, source in settings["binds"].items():
        Path(source).mkdir(parents=True, exist_ok=True)
        mount(source, target, "", _BIND)
        # A pod may mount below the kubelet's directory (CSI drivers do), and the kubelet must see it.
        mount("none", target, "", _RECURSIVE | _SHARED)
    if not resolv.exists():  # it lay in /run
        resolv.parent.mkdir(parents=True, exist_ok=True)
        resolv.touch()
    mount(settings["resolv_conf"], str(resolv), "", _BIND)
    socket.sethostname(settings["hostname"])


def make_network(settings: dict[str, Any]) -> None:
    """Set up a node address and a default route, without a device that leaves the namespace.

    Both ends of the pair are in it: a dummy device would do, but not every kernel has one.
    """
    address, prefix = settings["node_ip"], settings["prefix"]
    for line in (
        "link set lo up",
        "link add node0 type veth peer name node1",
        f"address add {address}/{prefix} dev node0",
        "link set node0 up",
        "link set node1 up",
        "route add default dev node0",
    ):
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError(f"ip {line}: {done.stderr.strip()}")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


class Components:
    """The processes that were started here, by name; the latest one of a name counts."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._pids: dict[str, int] = {}
        self._exits: dict[str, int] = {}
        self._stopped: set[str] = set()
        self._waiting: list[tuple[str, socket.socket]] = []

    def start(self, name: str, argv: list[str], environment: dict[str, str]) -> dict[str, Any]:
        """Start a process in a session of its own, with its output appended to its log."""
        if self._runs(name):
            return {"error": f"{name} runs already"}
        log = str(self._logs / f"{name}.log")
        into_log = (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0), into_log, (os.POSIX_SPAWN_DUP2, 1, 2)]
        pid = os.posix_spawnp(
            argv[0],
            argv,
            {**os.environ, **environment},
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGCHLD),
        )
        self._pids[name] = pid
        self._exits.pop(name, None)
        self._stopped.discard(name)
        return {"pid": pid}

    def _runs(self, name: str) -> bool:
        return name in self._pids and name not in self._exits

    def states(self) -> dict[str, Any]:
        """Return each component's exit code, None for a running one; those stopped on purpose are left out."""
        return {name: self._exits.get(name) for name in self._pids if self._runs(name) or name not in self._stopped}

    def signal(self, name: str, number: int) -> dict[str, Any]:
        """Send a signal to a running component."""
        if not self._runs(name):
            return {"error": f"{name} does not run"}
        os.kill(self._pids[name], number)
        self._stopped.add(name)
        return {}

    def tell_exit(self, name: str, caller: socket.socket) -> None:
        """Answers the caller with the component's exit code once it has one."""
        if self._runs(name):
            self._waiting.append((name, caller))
        else:
            answer(caller, {"exit": self._exits.get(name)})

    def reap(self) -> None:
        """Note each process that has ended; processes that containers left behind are reaped as well."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, known in self._pids.items():
                if known == pid and name not in self._exits:
                    self._exits[name] = os.waitstatus_to_exitcode(status)
                    self._answer_waiting(name)

    def _answer_waiting(self, name: str) -> None:
        for waiting in [one for one in self._waiting if one[0] == name]:
            self._waiting.remove(waiting)
            answer(waiting[1], {"exit": self._exits[name]})


def answer(caller: socket.socket, value: dict[str, Any]) -> None:
    """One line of JSON, then the end; a caller that has left does not matter."""
    with contextlib.suppress(OSError), caller:
        caller.sendall(json.dumps(value).encode() + b"\n")


def serve(listener: socket.socket, components: Components) -> None:
    """Answer requests forever: one line of JSON, each on its own connection."""
    wake_read, wake_write = socket.socketpair()
    wake_write.setblocking(False)
    wake_read.setblocking(False)
    signal.set_wakeup_fd(wake_write.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    selector = selectors.DefaultSelector()
    selector.register(wake_read, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    components.reap()
    while True:
        for key, _ in selector.select():
            if key.fileobj is wake_read:
                with contextlib.suppress(BlockingIOError):
                    wake_read.recv(4096)
                components.reap()
            else:
                caller, _ = listener.accept()
                with contextlib.suppress(OSError):
                    handle(caller, components)


def handle(caller: socket.socket, components: Components) -> None:
    """Carries out one request; what goes wrong is the answer."""
    caller.settimeout(5)
    try:
        request = json.loads(caller.makefile("rb").readline())
        match request["do"]:
            case "start":
                answer(caller, components.start(request["name"], request["argv"], request["environment"]))
            case "states":
                answer(caller, components.states())
            case "signal":
                answer(caller, components.signal(request["name"], request["number"]))
            case "exit":
                components.tell_exit(request["name"], caller)
            case unknown:
                answer(caller, {"error": f"unknown request {unknown!r}"})
    except (ValueError, KeyError, TypeError, OSError) as error:
        answer(caller, {"error": f"{type(error).__name__}: {error}"})


def main() -> None:
    """Says the pid on the inherited socket, waits until the tool has kept it, then makes the cluster's world."""
    tool = socket.socket(fileno=int(sys.argv[1]))
    settings: dict[str, Any] = json.loads(tool.makefile("rb").readline())
    try:
        pid = detach_and_fork()
    except OSError as error:
        tool.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    if pid:
        tool.sendall(json.dumps({"pid": pid}).encode() + b"\n")
        return
    if tool.recv(1) != b"g":  # the tool died before it wrote the pid down: no process would ever end this one
        return
    try:
        make_mounts(settings)
        make_network(settings)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(settings["control"])
        Path(settings["control"]).chmod(0o600)
        listener.listen(16)
    except OSError as error:
        tool.sendall(json.dumps({"error": str(error)}).encode() + b"\n")
        return
    tool.sendall(b"{}\n")
    tool.close()
    serve(listener, Components(Path(settings["logs"])))


if __name__ == "__main__":
    main()
