"""Connections of an aiohttp server that every pod of a cluster can reach: a cap per address, and a limit on idle ones.

The only module of dilu.http that needs aiohttp.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from aiohttp import web

_IDLE_S = 75.0  # between two requests


class ConnectionSlots:
    """Counts connections per address, so that one address cannot take all that a server has."""

    def __init__(self, max_each: int) -> None:
        self._max_each = max_each
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Count one more connection of this address. Return False if it has its maximum."""
        if self._taken[address] >= self._max_each:
            return False
        self._taken[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count one connection less of this address."""
        self._taken[address] -= 1
        if self._taken[address] <= 0:
            del self._taken[address]


class ServerConnection(web.RequestHandler):
    """A connection that is cut if no request arrives in time, or if its address has too many."""

    __slots__ = ("on_crowd", "place", "places", "quiet_timer")
    quiet_timer: asyncio.TimerHandle
    places: ConnectionSlots | None
    on_crowd: Callable[[ServerConnection], None]
    place: str | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, or cut it where its address has too many."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if self.places is None or not peer:
            return
        if self.places.take(str(peer[0])):
            self.place = str(peer[0])
        else:
            self.on_crowd(self)

    def stop_timer(self) -> None:
        """Stop the time limit of the first request: it has arrived, or the connection has ended."""
        self.quiet_timer.cancel()

    def connection_lost(self, error: BaseException | None) -> None:
        """Free the connection's place."""
        self.stop_timer()
        if self.places is not None and self.place is not None:
            self.places.leave(self.place)
            self.place = None
        super().connection_lost(error)


class ConnectionRefused(asyncio.Protocol):
    """A connection that is closed at once: the server has its maximum."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Close it."""
        transport.close()


def accepted(
    server: web.Server,
    *,
    asks_within_s: float,
    on_cut: Callable[[ServerConnection], None],
    places: ConnectionSlots | None = None,
) -> ServerConnection:
    """Return a new connection. `on_cut` gets it if its address has too many, or no request arrives in time."""
    loop = asyncio.get_running_loop()
    connection = ServerConnection(
        server,
        loop=loop,
        access_log=None,  # type: ignore[arg-type]  # None turns it off, as in web.Server
        lingering_time=0,
        keepalive_timeout=_IDLE_S,
    )
    connection.quiet_timer = loop.call_later(asks_within_s, on_cut, connection)
    connection.places, connection.on_crowd, connection.place = places, on_cut, None
    return connection


def cut(connection: web.RequestHandler) -> None:
    """End a connection at once, without sending what is still buffered."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.force_close()
