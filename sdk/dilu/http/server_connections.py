"""Connections of a server that anybody in the cluster can reach: at most so many, and none that asks for nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from aiohttp import web

_IDLE_S = 75.0  # between two requests


class ConnectionSlots:
    """How many connections each address has: who takes all that there are leaves none for others."""

    def __init__(self, most_each: int) -> None:
        self._most_each = most_each
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """One more of that address. False: it has its part already, and gets none."""
        if self._taken[address] >= self._most_each:
            return False
        self._taken[address] += 1
        return True

    def leave(self, address: str) -> None:
        """One less of that address."""
        self._taken[address] -= 1
        if self._taken[address] <= 0:
            del self._taken[address]


class ServerConnection(web.RequestHandler):
    """A connection that is cut if it does not ask for anything in time, or if its address has too many."""

    __slots__ = ("on_crowd", "place", "places", "quiet_timer")
    quiet_timer: asyncio.TimerHandle
    places: ConnectionSlots | None
    on_crowd: Callable[[ServerConnection], None]
    place: str | None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if self.places is None or not peer:
            return
        if self.places.take(str(peer[0])):
            self.place = str(peer[0])
        else:
            self.on_crowd(self)

    def stop_timer(self) -> None:
        """It has asked, or is gone."""
        self.quiet_timer.cancel()

    def connection_lost(self, error: BaseException | None) -> None:
        """The connection is gone."""
        self.stop_timer()
        if self.places is not None and self.place is not None:
            self.places.leave(self.place)
            self.place = None
        super().connection_lost(error)


class ConnectionRefused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        transport.close()


def accepted(
    server: web.Server,
    *,
    asks_within_s: float,
    on_cut: Callable[[ServerConnection], None],
    places: ConnectionSlots | None = None,
) -> ServerConnection:
    """A new connection of the server; `on_cut` is called with it where it has no place, or asks for nothing in time."""
    loop = asyncio.get_running_loop()
    connection = ServerConnection(
        server,
        loop=loop,
        access_log=None,  # type: ignore[arg-type]  # None is what turns it off, as in web.Server
        lingering_time=0,
        keepalive_timeout=_IDLE_S,
    )
    connection.quiet_timer = loop.call_later(asks_within_s, on_cut, connection)
    connection.places, connection.on_crowd, connection.place = places, on_cut, None
    return connection


def cut(connection: web.RequestHandler) -> None:
    """End a connection at once, whatever it is about to say."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.force_close()
