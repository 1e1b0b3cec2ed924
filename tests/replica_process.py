"""Real replicas as child processes, on ports that they pick themselves, for the tests of every area."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0


@dataclass
class Answer:
    """One HTTP answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ReplicaProcess:
    """`python -m dilu serve` under test, with the supervisor's end of its control line."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    log_path: Path
    events: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    stats_port: int = 0
    _unread: bytes = b""

    def next_event(self, timeout_s: float = START_TIMEOUT_S) -> dict[str, Any] | None:
        """Return the next event of the control line, or None at its end."""
        self.control.settimeout(timeout_s)
        while b"\n" not in self._unread:
            data = self.control.recv(65536)
            if not data:
                return None
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        self.events.append(event)
        return event

    def wait_for(self, name: str) -> dict[str, Any]:
        """Return the next event of that name; fail with the log if the line ends before."""
        while (event := self.next_event()) is not None:
            if event["event"] == name:
                return event
        raise AssertionError(f"no event {name!r}; got {self.events}; log:\n{self.log()}")

    def wait_until_ready(self) -> dict[str, Any]:
        """Return the `ready` event; the ports are known afterwards."""
        event = self.wait_for("ready")
        self.port, self.stats_port = event["port"], event["stats_port"]
        return event

    def post(
        self, item: Any, path: str = "/", headers: dict[str, str] | None = None, timeout_s: float = 30.0
    ) -> Answer:
        """POST one JSON value."""
        return self.request("POST", path, json.dumps(item).encode(), headers, timeout_s=timeout_s)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        *,
        port: int | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", port or self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            response: HTTPResponse = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def stats(self) -> dict[str, Any]:
        """Return the body of `/v1/stats`."""
        stats: dict[str, Any] = self.request("GET", "/v1/stats", port=self.stats_port).json()
        return stats

    def metrics(self) -> str:
        """Return the text of `/metrics`."""
        return self.request("GET", "/metrics", port=self.stats_port).body.decode()

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        """Return the exit code."""
        return self.process.wait(STOP_TIMEOUT_S)

    def log(self) -> str:
        """Return the log so far."""
        return self.log_path.read_text()

    def close(self) -> None:
        """End the process whatever its state, and the control line."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_TIMEOUT_S)
        self.control.close()


ServeFunction = Callable[..., ReplicaProcess]


@contextmanager
def serving(folder: Path) -> Iterator[ServeFunction]:
    """Start replicas, `start(source, wait=True, **environment)`, and end them all."""
    started: list[ReplicaProcess] = []

    def start(source: str, *, wait: bool = True, arguments: Sequence[str] = (), **environment: str) -> ReplicaProcess:
        replica = _start(folder / f"function_{len(started)}.py", textwrap.dedent(source), arguments, environment)
        started.append(replica)
        if wait:
            replica.wait_until_ready()
        return replica

    try:
        yield start
    finally:
        for replica in started:
            replica.close()


def _start(path: Path, source: str, arguments: Sequence[str], environment: dict[str, str]) -> ReplicaProcess:
    path.write_text(source)
    ours, theirs = socket.socketpair()
    log_path = path.with_suffix(".log")
    defaults = {"PORT": "0", "DILU_STATS_PORT": "0", "DILU_CONTROL_FD": str(theirs.fileno())}
    with theirs, log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dilu", "serve", str(path), *arguments],
            env={**os.environ, **defaults, **environment},
            pass_fds=[theirs.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return ReplicaProcess(process, ours, log_path)


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Poll until `condition` holds; fail naming `what` if it does not within the time."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.01)
