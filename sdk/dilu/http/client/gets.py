"""Small GETs by the thousand a second: connections are kept alive, and no request needs a task or a timer of its own.

A result comes to a callback, never before `get` has returned. Of a longer body only the beginning is read.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from dilu.http.addresses import Address, host_header
from dilu.http.client.connection import (
    ClientConnection,
    Response,
    ResponseLimits,
    ResponseLostError,
)
from dilu.http.client.idle_connections import IdleConnections

TIMEOUT_S: Final = 3.0
MAX_IDLE: Final = 10_000
MAX_IDLE_S: Final = 90.0
MAX_BODY_BYTES: Final = 336
"""What a queue-proxy's report can take: six numbers, a host's name and some room."""
_MAX_HEAD_BYTES: Final = 16 * 1024
_MAX_BYTES_PER_BODY_BYTE: Final = 8
"""Of a body in chunks of one byte, each takes six; a response with more never ends."""
_CLOSED: Final = "the client was closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class GetResponse:
    """What a server answered."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class GetFailed:
    """Why there is no response."""

    reason: str


OnGetResult: TypeAlias = Callable[[GetResponse | GetFailed], None]


def get_request(path: str, headers: dict[str, str]) -> bytes:
    """Return the bytes of a GET; `headers` must have its Host."""
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class _Get(Response):
    """One request under way, and what has come of its response."""

    __slots__ = (
        "_body",
        "_client",
        "_is_cut",
        "_on_result",
        "address",
        "connecting",
        "connection",
        "is_over",
        "keep_alive",
        "late_s",
        "request",
    )

    def __init__(
        self,
        client: GetClient,
        address: Address,
        request: bytes,
        on_result: OnGetResult,
        keep_alive: bool,
        late_s: float,
    ) -> None:
        self.address = address
        self.request = request
        self.keep_alive = keep_alive
        self.late_s = late_s
        self.is_over = False  # the result was handed over
        self.connection: ClientConnection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self._client = client
        self._on_result = on_result
        self._body = b""
        self._is_cut = False  # the body is longer than what is read

    def give_up(self, reason: str) -> None:
        """Hand over a failure, unless there was a result before."""
        if self.is_over:
            return
        self.is_over = True
        if self.connecting is not None and self.connecting is not asyncio.current_task():
            self.connecting.cancel()
        if self.connection is not None:
            self.connection.abort()
            self.connection = None
        self._on_result(GetFailed(reason=reason))

    # -- called by the connection

    def put(self, chunk: bytes) -> bool:
        """Keep what there is room for."""
        room = self._client.max_body_bytes - len(self._body)
        if len(chunk) > room:
            self._is_cut = True
            chunk = chunk[:room]
        self._body = self._body + chunk if self._body else chunk
        return False

    def parsed(self) -> None:
        """Hand over the response, once it is complete or more of it will not be read."""
        if self.is_over or not (self.is_complete or self._is_cut):
            return
        self.is_over = True
        if not self.is_complete and self.connection is not None:
            self.connection.abort()
        self.connection = None
        content_type = ""
        for name, value in self.headers:
            if name.lower() == b"content-type":
                content_type = value.decode("latin-1")
        self._on_result(GetResponse(status=self.status, content_type=content_type, body=self._body))

    def fail(self, error: ResponseLostError) -> None:
        """Begin again if a kept connection was just being closed; else hand over the failure."""
        self.connection = None
        if self.is_over or not (error.is_stale and self._client.begin_again(self)):
            self.give_up(str(error))


class GetClient:
    """Sends GETs; each has `timeout_s` for a connection, the request and its response together."""

    def __init__(
        self, *, timeout_s: float = TIMEOUT_S, max_idle: int = MAX_IDLE, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        """Keep at most `max_idle` free connections, and read at most `max_body_bytes` of a body."""
        self._loop = asyncio.get_running_loop()
        self.max_body_bytes = max_body_bytes
        self._limits = ResponseLimits(
            max_head_bytes=_MAX_HEAD_BYTES, max_bytes=_MAX_HEAD_BYTES + _MAX_BYTES_PER_BODY_BYTE * max_body_bytes
        )
        self._timeout_s = timeout_s
        self._idle = IdleConnections(max_idle_s=MAX_IDLE_S, max_count=max_idle)
        self._connections: set[ClientConnection] = set()
        self._lookups: set[asyncio.Task[Any]] = set()
        self._started: deque[_Get] = deque()  # all have the same timeout, so the first is the first to be late
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    def get(self, address: Address, request: bytes, on_result: OnGetResult, *, keep_alive: bool = True) -> None:
        """Send `request` (see `get_request`) and hand its result to `on_result`."""
        if self._is_closed:
            self._loop.call_soon(on_result, GetFailed(reason=_CLOSED))
            return
        late_s = self._loop.time() + self._timeout_s
        get = _Get(self, address, request, on_result, keep_alive, late_s)
        self._started.append(get)
        if self._timer is None:
            self._timer = self._loop.call_at(late_s, self._end_late)
        connection = self._idle.take(address) if keep_alive else None
        if connection is None:
            self._connect(get)
        else:
            self._send(connection, get)

    async def close(self) -> None:
        """End all connections; requests under way fail."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        under_way = [get for get in self._started if not get.is_over]
        tasks = [get.connecting for get in under_way if get.connecting is not None]
        for get in under_way:
            get.give_up(_CLOSED)
        for connection in list(self._connections):
            connection.abort()
        await asyncio.gather(*tasks, return_exceptions=True)
        while self._connections:  # each leaves in the loop's next rounds
            await asyncio.sleep(0)

    @staticmethod
    def _send(connection: ClientConnection, get: _Get) -> None:
        get.connection = connection
        connection.send(get.request, b"", get, keep_alive=get.keep_alive)

    def _connect(self, get: _Get) -> None:
        get.connecting = self._loop.create_task(self._connected(get))

    async def _connected(self, get: _Get) -> None:
        host, port = get.address
        try:
            ip = await self._ip_of(host, port)
            _, connection = await self._loop.create_connection(
                lambda: ClientConnection(self, get.address, self._limits), ip, port
            )
        except (OSError, UnicodeError) as error:  # a name that cannot be one is a UnicodeError
            get.give_up(f"{host_header(get.address)}: {error}")
            return
        get.connecting = None
        if get.is_over:
            connection.abort()
        else:
            self._send(connection, get)

    async def _ip_of(self, host: str, port: int) -> str:
        """Return the host's first address. A lookup cannot be cancelled: one that is not needed ends by itself."""
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
            lookup.exception()  # marks it as seen, also where its request has ended

    def _end_late(self) -> None:
        started, now_s = self._started, self._loop.time()
        while started and (started[0].is_over or started[0].late_s <= now_s):
            get = started.popleft()
            if not get.is_over:
                get.give_up(f"{host_header(get.address)}: no response within {self._timeout_s:g} s")
        self._timer = self._loop.call_at(started[0].late_s, self._end_late) if started else None

    def begin_again(self, get: _Get) -> bool:
        """Send a request once more, over a new connection. False: the client is closed."""
        if not self._is_closed:
            self._connect(get)
        return not self._is_closed

    # -- called by the connections

    def opened(self, connection: ClientConnection) -> None:
        """Take notice of a new connection."""
        self._connections.add(connection)

    def keep(self, connection: ClientConnection) -> None:
        """Take back a connection that can be used again."""
        if self._is_closed:
            connection.abort()
        else:
            self._idle.keep(connection)

    def forget(self, connection: ClientConnection) -> None:
        """Take notice that a connection has ended."""
        self._connections.discard(connection)
        self._idle.forget(connection)
