"""One listening socket served by uvicorn inside our own process and loop, closed in the order that a drain needs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from dilu.errors import ConfigError
from dilu.http.bounded_protocol import BoundedHttpProtocol

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

BACKLOG = 2048
# Longer than the idle time of the usual clients (Go 90 s), so that it is they who close an idle connection:
# a server that closes first may do so just as a request is on its way.
KEEP_ALIVE_S = 120
# While closing: for how long a request may still come in, and an answer be left unread.
SLOW_CLIENT_S = 2.0
_TICK_S = 1.0
_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h; the socket module does not name it


def bind(host: str, port: int) -> socket.socket:
    """A bound, not yet listening socket. Raises `ConfigError` that says who wants what if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"cannot listen on {host}:{port}: {reason}; choose another port") from error
    return sock


class Listener:
    """Serves an ASGI application on a bound socket: start, stop accepting, let idle clients go, close."""

    def __init__(self, app: AsgiApp, sock: socket.socket) -> None:
        self.port: int = sock.getsockname()[1]
        self._sock = sock
        config = uvicorn.Config(
            app,
            http=BoundedHttpProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.load()
        self._server = uvicorn.Server(config)
        self._server.lifespan = config.lifespan_class(config)
        self._ticker: asyncio.Task[None] | None = None
        self._accepting = False
        self._deadline_s = float("inf")
        self._last_accepted: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Listen and serve."""
        await self._server.on_tick(0)
        await self._server.startup(sockets=[self._sock])
        self._accepting = True
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    @property
    def in_flight(self) -> int:
        """Requests that the application is answering."""
        return len(self._server.server_state.tasks)

    def fds(self) -> list[int]:
        """The file descriptors of the listening socket and of all connections."""
        listening = [sock for server in self._server.servers for sock in server.sockets] if self._accepting else []
        connections = [one.transport.get_extra_info("socket") for one in self._connections()]
        return [self._sock.fileno(), *(sock.fileno() for sock in (*listening, *connections) if sock is not None)]

    def begin_no_handshakes(self) -> None:
        """Let the kernel drop what would begin a connection (Linux), so that none is half-way when the socket closes.

        A connection whose handshake ends between the last `accept` and the close would be reset, request and all.
        """
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _drop_syn_filter())

    def stop_accepting(self) -> None:
        """Close the listening socket; connections that are open, or wait to be accepted, are served."""
        if not self._accepting:
            return
        self._accepting = False
        self._accept_waiting()
        for server in self._server.servers:
            server.close()

    def hurry(self) -> None:
        """Let a `close` that waits for requests cut them now."""
        self._deadline_s = 0.0

    async def close(self, timeout_s: float) -> bool:
        """Close idle connections and let requests finish, for at most `timeout_s`.

        Whether every complete request got its answer. Clients that do not finish their request, or do not read their
        answer, are cut a little sooner.
        """
        self.stop_accepting()
        loop = asyncio.get_running_loop()
        self._deadline_s = min(self._deadline_s, loop.time() + timeout_s)
        await asyncio.gather(*self._last_accepted, return_exceptions=True)
        for connection in self._connections():
            connection.shutdown()
        patience_s = loop.time() + SLOW_CLIENT_S
        while (self._connections() or self.in_flight) and loop.time() < self._deadline_s:
            if loop.time() > patience_s:
                self._cut([one for one in self._connections() if not one.is_answering])
            await asyncio.sleep(0.01)
        all_answered = not self.in_flight
        for task in list(self._server.server_state.tasks):
            task.cancel()
        self._cut(self._connections())
        if self._ticker is not None:
            self._ticker.cancel()
        return all_answered

    def _accept_waiting(self) -> None:
        """Take over connections that the kernel has accepted: closing the socket would reset them."""
        config, loop = self._server.config, asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            return BoundedHttpProtocol(config=config, server_state=self._server.server_state, app_state={})

        with contextlib.suppress(OSError):  # BlockingIOError: there are no more
            while True:
                connection, _ = self._sock.accept()
                accept = loop.connect_accepted_socket(protocol, connection)
                self._last_accepted.append(loop.create_task(accept))

    def _connections(self) -> list[BoundedHttpProtocol]:
        return [one for one in self._server.server_state.connections if isinstance(one, BoundedHttpProtocol)]

    @staticmethod
    def _cut(connections: list[BoundedHttpProtocol]) -> None:
        for connection in connections:
            connection.abort()

    async def _tick(self) -> None:
        """Keep the Date header true, and look after clients that do not read."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            await self._server.on_tick(0)
            for connection in self._connections():
                connection.check_unread(loop.time())


_DROP_SYN = (  # classic BPF (code, jump if true, jump if false, k); a TCP socket's filter sees the TCP header first
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # only SYN: a client begins
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # accept
)
_DROP_SYN_CODE = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _DROP_SYN))


def _drop_syn_filter() -> bytes:
    """A `struct sock_fprog` that points at `_DROP_SYN_CODE`."""
    return struct.pack("HL", len(_DROP_SYN), ctypes.addressof(_DROP_SYN_CODE))
