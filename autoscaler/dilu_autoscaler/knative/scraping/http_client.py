"""Small GETs by the thousand a second: HTTP/1.1 with connections kept alive, a C parser, and no task for each request.

An answer comes to a callback, never before `get` has returned. All of its body that counts fits into `MOST_BODY_BYTES`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from typing import Any, Final

from dilu_autoscaler.knative.scraping.http_connection import (
    MOST_BODY_BYTES,
    Address,
    Answer,
    Connection,
    Failed,
    Get,
    OnAnswer,
)

TIMEOUT_S: Final = 3.0
MOST_IDLE: Final = 10_000
LONGEST_IDLE_S: Final = 90.0


def get_request(path: str, headers: dict[str, str]) -> bytes:
    """The bytes of a GET; `headers` has its Host."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def host_header(address: Address) -> str:
    """The address as a Host header has it.

    >>> host_header(("10.0.0.1", 9090)), host_header(("fd00::1", 9090))
    ('10.0.0.1:9090', '[fd00::1]:9090')
    """
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class HttpClient:
    """Asks, within `timeout_s` for a connection, the request and its answer together."""

    def __init__(
        self, *, timeout_s: float = TIMEOUT_S, most_idle: int = MOST_IDLE, most_body_bytes: int = MOST_BODY_BYTES
    ) -> None:
        """Of a longer body only the first `most_body_bytes` are read."""
        self._loop = asyncio.get_running_loop()
        self._most_body_bytes = most_body_bytes
        self._timeout_s = timeout_s
        self._most_idle = most_idle
        self._idle: dict[Address, list[Connection]] = {}
        self._idle_in_order: dict[Connection, float] = {}  # since when; the longest idle first
        self._connections: set[Connection] = set()
        self._lookups: set[asyncio.Task[Any]] = set()
        self._started: deque[Get] = deque()  # all have the same timeout, so the first is the first to be late
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def get(self, address: Address, request: bytes, on_answer: OnAnswer, *, keeps_alive: bool = True) -> None:
        """Send `request` (see `get_request`) and hand its answer to `on_answer`."""
        if self._is_closed:
            self._loop.call_soon(on_answer, Failed(reason="the client was closed"))
            return
        get = Get(
            address=address,
            request=request,
            keeps_alive=keeps_alive,
            on_answer=on_answer,
            late_s=self._loop.time() + self._timeout_s,
        )
        self._started.append(get)
        if self._timer is None:
            self._timer = self._loop.call_at(get.late_s, self._end_late)
        connection = self._free_connection(address) if keeps_alive else None
        if connection is None:
            self._connect(get)
        else:
            connection.send(get)

    async def close(self) -> None:
        """End all connections; what is under way fails."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        under_way = [get for get in self._started if not get.is_over]
        tasks = [get.connecting for get in under_way if get.connecting is not None]
        for get in under_way:
            self._end(get, Failed(reason="the client was closed"))
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._connections:  # each leaves in the loop's next rounds
            await asyncio.sleep(0)

    def _free_connection(self, address: Address) -> Connection | None:
        idle = self._idle.get(address)
        if not idle:
            return None
        connection = idle.pop()
        if not idle:
            del self._idle[address]
        del self._idle_in_order[connection]
        return connection

    def _connect(self, get: Get) -> None:
        get.connecting = self._loop.create_task(self._connected(get))

    async def _connected(self, get: Get) -> None:
        host, port = get.address
        try:
            ip = await self._ip_of(host, port)
            _, connection = await self._loop.create_connection(
                lambda: Connection(self, get.address, self._most_body_bytes), ip, port
            )
        except (OSError, UnicodeError) as error:  # a name that cannot be one is a UnicodeError
            self._end(get, Failed(reason=f"{host_header(get.address)}: {error}"))
            return
        get.connecting = None
        if get.is_over:
            connection.abort()
        else:
            connection.send(get)

    async def _ip_of(self, host: str, port: int) -> str:
        """The host's first address. A lookup cannot be broken off: one that nobody waits for ends by itself."""
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            pass
        lookup = self._loop.create_task(self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        self._lookups.add(lookup)
        lookup.add_done_callback(self._looked_up)
        found = await asyncio.shield(lookup)
        return str(found[0][4][0])

    def _looked_up(self, lookup: asyncio.Task[Any]) -> None:
        self._lookups.discard(lookup)
        if not lookup.cancelled():
            lookup.exception()  # so that nobody misses it

    def _end_late(self) -> None:
        started, now_s = self._started, self._loop.time()
        while started and (started[0].is_over or started[0].late_s <= now_s):
            get = started.popleft()
            if not get.is_over:
                reason = f"{host_header(get.address)}: no answer within {self._timeout_s:g} s"
                self._end(get, Failed(reason=reason))
        self._timer = self._loop.call_at(started[0].late_s, self._end_late) if started else None

    def _end(self, get: Get, result: Answer | Failed) -> None:
        if get.is_over:
            return
        get.is_over = True
        if isinstance(result, Failed):
            if get.connecting is not None and get.connecting is not asyncio.current_task():
                get.connecting.cancel()
            if get.connection is not None:
                get.connection.abort()
        get.on_answer(result)

    # -- called by the connections

    def opened(self, connection: Connection) -> None:
        """A connection is there."""
        self._connections.add(connection)

    def answered(self, get: Get, answer: Answer, reusable: Connection | None) -> None:
        """An answer is complete; its connection can be used again, or None."""
        if reusable is not None and not self._is_closed:
            self._keep(reusable)
        self._end(get, answer)

    def lost(self, connection: Connection, get: Get | None, *, may_repeat: bool, reason: str) -> None:
        """A connection is gone, and with it the answer to `get`."""
        self._connections.discard(connection)
        if connection in self._idle_in_order:
            del self._idle_in_order[connection]
            idle = self._idle[connection.address]
            idle.remove(connection)
            if not idle:
                del self._idle[connection.address]
        if get is None or get.is_over:
            return
        get.connection = None
        if may_repeat and not self._is_closed:
            self._connect(get)
        else:
            self._end(get, Failed(reason=f"{host_header(get.address)}: {reason}"))

    def _keep(self, connection: Connection) -> None:
        now_s, in_order = self._loop.time(), self._idle_in_order
        self._idle.setdefault(connection.address, []).append(connection)
        in_order[connection] = now_s
        oldest, since_s = next(iter(in_order.items()))
        if len(in_order) > self._most_idle or now_s - since_s > LONGEST_IDLE_S:
            self._free_oldest(oldest)

    def _free_oldest(self, oldest: Connection) -> None:
        del self._idle_in_order[oldest]
        idle = self._idle[oldest.address]
        idle.remove(oldest)
        if not idle:
            del self._idle[oldest.address]
        oldest.abort()
