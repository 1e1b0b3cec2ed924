"""An activator as an autoscaler sees it: a websocket that brings reports about revisions."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Final

from autoscaler_comparison.contestants import STATS_PORT
from autoscaler_comparison.world import World
from dilu_autoscaler.knative.reports.stats import Stat, write_frame
from harness import BenchmarkError
from testcluster.network import NODE_IP
from testcluster.sockets import connect_in

_POD: Final = "activator-6c9f7d5b8-x2x4z"
_PERIOD_S: Final = 1.0
_PING_S: Final = 10 / 3
_MAX_WAIT_S: Final = 60.0  # an overloaded one is slow to answer
_BINARY, _PING = 0x82, 0x89
_HANDSHAKE: Final = (
    f"GET / HTTP/1.1\r\nHost: autoscaler.knative-serving.svc.cluster.local:{STATS_PORT}\r\n"
    "User-Agent: Go-http-client/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
).encode()


def report(in_flight: Mapping[str, float], *, count: float = 0.0) -> bytes:
    """Return the reports about these revisions as one message."""
    return write_frame(
        Stat(
            key=key,
            pod=_POD,
            concurrency=concurrency,
            proxied_concurrency=0.0,
            requests=count,
            proxied_requests=0.0,
            uptime_s=0.0,
            time_s=0,
        )
        for key, concurrency in in_flight.items()
    )


class Activator:
    """A connected activator: it reports each second what its revisions have in flight."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._in_flight: dict[str, float] = {}
        self._over: set[str] = set()  # one more report of nothing, and then none
        self._ends = threading.Event()
        self._error: OSError | None = None

    def poke(self, key: str) -> float:
        """Report a first request for a revision; return the monotonic time just before the report."""
        frame = _frame(_BINARY, report({key: 1.0}, count=1.0))
        with self._sending:
            self._in_flight[key] = 1.0
            sent_s = time.monotonic()
            self._connection.sendall(frame)
        return sent_s

    def is_over(self, key: str) -> None:
        """Report that the revision's last request was answered."""
        with self._sending:
            self._in_flight[key] = 0.0
            self._over.add(key)

    def watch(self, key: str) -> None:
        """Report each second that nothing is in flight for the revision."""
        with self._sending:
            self._in_flight[key] = 0.0

    def check(self) -> None:
        """Raise BenchmarkError if the connection has broken."""
        if self._error is not None:
            raise BenchmarkError(f"the autoscaler closed the activator's connection: {self._error}")

    def end(self) -> None:
        """Stop reporting."""
        self._ends.set()

    def keep_reporting(self) -> None:
        """Send a report each second, and pings, until the end; the body of a thread."""
        next_ping_s = time.monotonic()
        while not self._ends.wait(_PERIOD_S):
            try:
                with self._sending:
                    self._report()
                    if time.monotonic() >= next_ping_s:
                        next_ping_s += _PING_S
                        self._connection.sendall(_frame(_PING, b""))
                self._read_pongs()
            except OSError as error:
                self._error = error
                return

    def _report(self) -> None:
        if self._in_flight:
            self._connection.sendall(_frame(_BINARY, report(self._in_flight)))
        for key in self._over:
            self._in_flight.pop(key, None)
        self._over.clear()

    def _read_pongs(self) -> None:
        readable, _, _ = select.select([self._connection], [], [], 0.0)
        if readable and not self._connection.recv(4096):
            raise ConnectionError("end of file")


def _frame(kind: int, payload: bytes) -> bytes:
    """Return a whole message of a client, masked as the protocol requires."""
    length = len(payload)
    size = bytes([0x80 | length]) if length < 126 else bytes([0x80 | 126]) + length.to_bytes(2)
    mask = os.urandom(4)
    return bytes([kind]) + size + mask + bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))


def _shake_hands(connection: socket.socket) -> None:
    """Turn a connection into a websocket."""
    answer = b""
    try:
        connection.sendall(_HANDSHAKE)
        while b"\r\n\r\n" not in answer and (part := connection.recv(4096)):
            answer += part
    except OSError as error:
        raise BenchmarkError(f"no websocket: {error} after {_MAX_WAIT_S:.0f} s") from error
    if b" 101 " not in answer.partition(b"\r\n")[0]:
        raise BenchmarkError(f"no websocket: the autoscaler answered {answer[:200]!r}")


@contextlib.contextmanager
def connected(world: World) -> Iterator[Activator]:
    """Connect an activator that reports until the end of the block."""
    connection = connect_in(world.sandbox.network, (NODE_IP, STATS_PORT), _MAX_WAIT_S)
    with contextlib.closing(connection):
        _shake_hands(connection)
        activator = Activator(connection)
        thread = threading.Thread(target=activator.keep_reporting, name="activator")
        thread.start()
        try:
            yield activator
        finally:
            activator.end()
            thread.join()
