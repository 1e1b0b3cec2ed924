"""Listening sockets served by uvicorn inside our own process and loop, closed in the order that a drain needs."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from dilu.errors import ConfigError
from dilu.http.bounded_protocol import BoundedHttpProtocol

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

SERVER_LOG: Final = "uvicorn.error"
"""The logger of connections that break off, and of errors in an application."""
BACKLOG = 2048
# Longer than the idle time of the usual clients (Go 90 s), so that they close an idle connection first: a server that
# does may close it while a request is on its way.
KEEP_ALIVE_S = 120
# While closing: how long a request may still take to arrive, and an answer stay unread.
SLOW_CLIENT_S = 2.0
_TICK_S = 1.0
_SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h; the socket module does not name it


def bind(host: str, port: int) -> socket.socket:
    """Bind a socket that does not listen yet. Raises `ConfigError` if the address is not available."""
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


def _server_config(app: AsgiApp) -> uvicorn.Config:
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
    return config


class Listener:
    """Serves an ASGI application on a bound socket."""

    def __init__(self, app: AsgiApp, sock: socket.socket) -> None:
        self.port: int = sock.getsockname()[1]
        self._sock = sock
        config = _server_config(app)
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
        """Return the file descriptors of the listening socket and of all connections."""
        listening = [sock for server in self._server.servers for sock in server.sockets] if self._accepting else []
        connections = [one.transport.get_extra_info("socket") for one in self._connections()]
        return [self._sock.fileno(), *(sock.fileno() for sock in (*listening, *connections) if sock is not None)]

    def begin_no_handshakes(self) -> None:
        """Let the kernel drop new connections' first packets (Linux), so that no handshake is open at the close.

        A connection whose handshake ends between the last `accept` and the close would be reset with its request.
        """
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, _drop_syn_filter())

    def stop_accepting(self) -> None:
        """Close the listening socket. Connections that are open or wait to be accepted are still served."""
        if not self._accepting:
            return
        self._accepting = False
        self._accept_waiting()
        for server in self._server.servers:
            server.close()

    def hurry(self) -> None:
        """Let a `close` that waits for requests cut them at once."""
        self._deadline_s = 0.0

    async def close(self, timeout_s: float) -> bool:
        """Close idle connections and let requests finish, for at most `timeout_s`.

        Return whether every complete request was answered. Clients that do not finish their request, or do not read
        their answer, are cut after `SLOW_CLIENT_S`.
        """
        self.stop_accepting()
        loop = asyncio.get_running_loop()
        self._deadline_s = min(self._deadline_s, loop.time() + timeout_s)
        await asyncio.gather(*self._last_accepted, return_exceptions=True)
        for connection in self._connections():
            connection.shutdown()
        cut_slow_at_s = loop.time() + SLOW_CLIENT_S
        while (self._connections() or self.in_flight) and loop.time() < self._deadline_s:
            if loop.time() > cut_slow_at_s:
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
        """Accept the connections that the kernel holds ready: closing the socket would reset them."""
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
        """Keep the Date header current, and cut clients that do not read."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_S)
            await self._server.on_tick(0)
            for connection in self._connections():
                connection.check_unread(loop.time())


class UnixListener:
    """Serves an ASGI application on a Unix socket, without a drain."""

    def __init__(self, app: AsgiApp, path: Path) -> None:
        self._config = _server_config(app)
        self._state = ServerState()
        self._path = path
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Listen and serve. Only the folder's mode keeps other users out."""
        self._server = await asyncio.get_running_loop().create_unix_server(
            lambda: BoundedHttpProtocol(self._config, self._state, {}), path=str(self._path)
        )

    async def close(self) -> None:
        """Cut all connections, and wait for the application to end their requests."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        while self._state.tasks:
            await asyncio.wait(self._state.tasks)


_DROP_SYN = (  # classic BPF (code, jump if true, jump if false, k); a TCP socket's filter sees the TCP header first
    (0x30, 0, 0, 13),  # load the byte of flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # only SYN: a new connection
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # accept
)
_DROP_SYN_CODE = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in _DROP_SYN))


def _drop_syn_filter() -> bytes:
    """Return a `struct sock_fprog` that points at `_DROP_SYN_CODE`."""
    return struct.pack("HL", len(_DROP_SYN), ctypes.addressof(_DROP_SYN_CODE))
