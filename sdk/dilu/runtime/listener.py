"""One listening socket served by uvicorn inside our own process and loop, closed in the order that a drain needs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from dilu.errors import ConfigError
from dilu.runtime.protocol import BoundedHttpProtocol

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

BACKLOG = 2048
# Longer than the idle time of the usual clients (Go 90 s), so that it is they who close an idle connection:
# a server that closes first may do so just as a request is on its way.
KEEP_ALIVE_S = 120
_TICK_S = 1.0


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

    async def start(self) -> None:
        """Listen and serve."""
        await self._server.on_tick(0)
        await self._server.startup(sockets=[self._sock])
        self._ticker = asyncio.get_running_loop().create_task(self._tick())

    @property
    def in_flight(self) -> int:
        """Requests that the application is answering."""
        return len(self._server.server_state.tasks)

    def stop_accepting(self) -> None:
        """Close the listening socket; connections that are open stay open."""
        for server in self._server.servers:
            server.close()

    async def close(self, timeout_s: float) -> None:
        """Close idle connections, let running requests finish for at most `timeout_s`, then cut what is left."""
        self.stop_accepting()
        connections = self._server.server_state.connections
        for connection in list(connections):
            connection.shutdown()
        deadline_s = asyncio.get_running_loop().time() + timeout_s
        while (connections or self.in_flight) and asyncio.get_running_loop().time() < deadline_s:
            await asyncio.sleep(0.01)
        for task in list(self._server.server_state.tasks):
            task.cancel()
        for connection in list(connections):
            if connection.transport is not None:
                connection.transport.abort()
        if self._ticker is not None:
            self._ticker.cancel()

    async def _tick(self) -> None:
        """Keep the Date header true."""
        while True:
            await asyncio.sleep(_TICK_S)
            await self._server.on_tick(0)
