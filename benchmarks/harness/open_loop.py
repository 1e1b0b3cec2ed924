"""An open-loop client that keeps up with thousands of requests a second on one core.

The arrivals are those of `dilu.load`; its generator is not used, because it is too slow here. It goes through aiohttp,
with a task and a request ID for each request: at 3,700 requests a second on one core, three times what the model of
the admission benchmark can do, its p99 send lag was 360 ms, against 6 ms of this client, with other work on the
machine. This client sends one fixed request and reads answers of a known length, and nothing else.
"""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import uvloop

_OK = 200


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; times in seconds from the start of the run."""

    due_s: float
    sent_s: float
    finished_s: float  # infinite if no answer came
    status: int  # 0 if no answer came

    @property
    def latency_s(self) -> float:
        """From the time at which it was due: the delay of a late client is in it."""
        return self.finished_s - self.due_s

    @property
    def ok(self) -> bool:
        """Whether it was answered with 200."""
        return self.status == _OK


def open_loop(
    port: int, request: bytes, due_s: Sequence[float], *, max_connections: int = 2000, max_wait_s: float = 5.0
) -> list[Sent]:
    """Send `request` at each of the times, whether or not earlier ones were answered, and return all outcomes.

    Connections are kept and reused, new ones are made while all are busy; beyond `max_connections` a request waits
    for its turn, and that wait is part of its latency.
    """
    gc.collect()
    gc.disable()  # its pauses would be taken for the server's
    try:
        return uvloop.run(_Run(port, request, due_s, max_connections).run(max_wait_s))
    finally:
        gc.enable()


class _Run:
    def __init__(self, port: int, request: bytes, due_s: Sequence[float], max_connections: int) -> None:
        self.request = request
        self._port = port
        self._due_s = due_s
        self._next = 0
        self._max_connections = max_connections
        self._connections: list[_Connection] = []
        self._opening = 0
        self._idle: list[_Connection] = []
        self._waiting: deque[float] = deque()
        self._sent: list[Sent] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._done = asyncio.Event()

    async def run(self, max_wait_s: float) -> list[Sent]:
        self._loop = asyncio.get_running_loop()
        self._start_s = time.perf_counter()
        self._send_due()
        try:
            async with asyncio.timeout(self._due_s[-1] + max_wait_s):
                await self._done.wait()
        except TimeoutError:
            lost = [*self._waiting, *(one.due_s for one in self._connections if one.due_s is not None)]
            self._sent += [Sent(due_s, math.inf, math.inf, 0) for due_s in lost]
        for connection in self._connections:
            connection.due_s = None
            connection.transport.abort()
        return sorted(self._sent, key=lambda sent: sent.due_s)

    def now_s(self) -> float:
        return time.perf_counter() - self._start_s

    def ended(self, connection: _Connection | None, due_s: float, sent_s: float, status: int) -> None:
        """Record the end of a request; its connection, if still open, takes the next one that waits."""
        self._sent.append(Sent(due_s, sent_s, self.now_s() if status else math.inf, status))
        if len(self._sent) == len(self._due_s):
            self._done.set()
        if connection is None:
            return
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)

    def lost(self, connection: _Connection) -> None:
        """Forget a connection that the server closed."""
        self._connections.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _send_due(self) -> None:
        now_s = self.now_s()
        while self._next < len(self._due_s) and self._due_s[self._next] <= now_s:
            self._send(self._due_s[self._next])
            self._next += 1
        if self._next < len(self._due_s):
            self._loop.call_later(max(0.0, self._due_s[self._next] - self.now_s()), self._send_due)

    def _send(self, due_s: float) -> None:
        if self._idle:
            self._idle.pop().send(due_s)
            return
        self._waiting.append(due_s)
        if len(self._connections) + self._opening < self._max_connections:
            self._opening += 1
            task = self._loop.create_task(self._open())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        try:
            _, connection = await self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", self._port)
        except OSError:
            if self._waiting:
                self.ended(None, self._waiting.popleft(), self.now_s(), 0)
            return
        finally:
            self._opening -= 1
        self._connections.append(connection)
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._idle.append(connection)


class _Connection(asyncio.Protocol):
    """One request at a time, and its answer of a known length."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._data = b""
        self.due_s: float | None = None
        self._sent_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def send(self, due_s: float) -> None:
        self.due_s, self._sent_s = due_s, self._run.now_s()
        self.transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        self._data = data = self._data + data if self._data else data
        head, end, body = data.partition(b"\r\n\r\n")
        if not end or self.due_s is None:
            return
        _, found, rest = head.lower().partition(b"content-length:")
        if found and len(body) < int(rest.partition(b"\r\n")[0]):
            return
        self._data = b""
        due_s, self.due_s = self.due_s, None
        self._run.ended(self, due_s, self._sent_s, int(data[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(self)
        if self.due_s is not None:
            due_s, self.due_s = self.due_s, None
            self._run.ended(None, due_s, self._sent_s, 0)
