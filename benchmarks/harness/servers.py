"""Servers as child processes, pinned to their core; stopping one ends all that it started."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.console import BenchmarkError, progress
from harness.machine import ROOT, SERVER_CORE, free_port, require_tool
from harness.processes import listens, process_table, resident_kib


@dataclass(slots=True)
class Server:
    """A server that runs as a child process, in a session of its own, and answers on `port`."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path
    start_s: float = 0.0  # from exec to the first answer
    bound_s: float = 0.0  # monotonic time at which its port first took a connection
    _seen: set[tuple[int, str]] = field(default_factory=set)  # (pid, start time) of every process it ever had

    @property
    def url(self) -> str:
        """The root of the server."""
        return f"http://127.0.0.1:{self.port}/"

    def processes(self) -> list[int]:
        """Return the processes that belong to the server now: its session, and what these started."""
        table = process_table()
        mine = {pid for pid, entry in table.items() if entry.session == self.process.pid}
        grown = True
        while grown:
            children = {pid for pid, entry in table.items() if entry.parent in mine} - mine
            mine |= children
            grown = bool(children)
        self._seen |= {(pid, table[pid].started) for pid in mine}
        return sorted(mine)

    def memory_mib(self) -> float:
        """Return the resident memory of all its processes; pages that they share count once (Pss)."""
        return sum(resident_kib(pid) for pid in self.processes()) / 1024

    def terminate(self) -> None:
        """Send SIGTERM to the server's first process, as an orchestrator would."""
        self.processes()
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float) -> int:
        """Wait for its end and return the exit code (minus the signal's number if a signal ended it)."""
        return self.process.wait(timeout_s)

    def stop(self, *, timeout_s: float = 15.0) -> int:
        """Stop it by SIGTERM, by SIGKILL after `timeout_s`, and return the exit code.

        Raises BenchmarkError if a process or a listener of it is left.
        """
        if self.process.poll() is None:
            self.terminate()
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            progress(f"{self.name}: still running {timeout_s:.0f} s after SIGTERM; killing it")
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            code = self.process.wait()
        left = self._left_running()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.log.unlink(missing_ok=True)
        if left:
            raise BenchmarkError(f"{self.name}: {len(left)} processes were left after its exit (now killed)")
        if listens(self.port):
            raise BenchmarkError(f"{self.name}: something still listens on its port {self.port} after its exit")
        return code

    def last_lines(self, count: int = 15) -> str:
        """Return the last lines that it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])

    def _left_running(self, max_wait_s: float = 2.0) -> list[int]:
        self.processes()
        until_s = time.monotonic() + max_wait_s
        while True:
            table = process_table()
            left = [pid for pid, started in self._seen if pid in table and table[pid].started == started]
            if not left or time.monotonic() > until_s:
                return left
            time.sleep(0.02)


def start_server(
    name: str,
    command: Sequence[str],
    *,
    ready: str = "/healthz",
    core: int = SERVER_CORE,
    env: Mapping[str, str] | None = None,
    wait_s: float = 60.0,
) -> Server:
    """Start a server and wait for an answer to `GET ready` below 500. `{port}` in the command becomes a free port."""
    port = free_port()
    taskset = require_tool("taskset")
    with tempfile.NamedTemporaryFile(prefix="dilu-bench-", suffix=".log", delete=False) as output:
        process = subprocess.Popen(
            [taskset, "-c", str(core), *(part.replace("{port}", str(port)) for part in command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=ROOT,
            env={**os.environ, "PORT": str(port), **(env or {})},
        )
    server = Server(name=name, port=port, process=process, log=Path(output.name))
    try:
        server.start_s = _wait_for_answer(server, ready, wait_s)
    except BaseException:
        with contextlib.suppress(BenchmarkError):
            server.stop(timeout_s=2.0)
        raise
    server.processes()
    return server


def _wait_for_answer(server: Server, ready: str, wait_s: float) -> float:
    began_s = time.monotonic()
    while not _answers(server, ready):
        waited_s, code = time.monotonic() - began_s, server.process.poll()
        if code is not None or waited_s > wait_s:
            why = "does not answer" if code is None else f"exited with {code}"
            raise BenchmarkError(f"{server.name}: {why} after {waited_s:.1f} s. Its last lines:\n{server.last_lines()}")
        time.sleep(0.01)
    return time.monotonic() - began_s


@contextlib.contextmanager
def serving(name: str, command: Sequence[str], **options: Any) -> Iterator[Server]:
    """Start a server for a `with` block; at its end the server is stopped and nothing may be left of it."""
    server = start_server(name, command, **options)
    try:
        yield server
    finally:
        server.stop()


def _answers(server: Server, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.connect()
        server.bound_s = server.bound_s or time.monotonic()
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
