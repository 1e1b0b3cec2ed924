"""Connections of a server that anybody in the cluster can reach: at most so many, and none that asks for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

_IDLE_S = 75.0  # between two requests


class Connection(web.RequestHandler):
    """A connection that is cut if it does not ask for anything in time."""

    __slots__ = ("quiet_timer",)
    quiet_timer: asyncio.TimerHandle

    def stop_timer(self) -> None:
        """It has asked, or is gone."""
        self.quiet_timer.cancel()

    def connection_lost(self, error: BaseException | None) -> None:
        """The connection is gone."""
        self.stop_timer()
        super().connection_lost(error)


class Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """End it."""
        transport.close()


def accepted(server: web.Server, *, asks_within_s: float, on_quiet: Callable[[Connection], None]) -> Connection:
    """A new connection of the server; `on_quiet` is called with it where it asks for nothing in time."""
    loop = asyncio.get_running_loop()
    connection = Connection(
        server,
        loop=loop,
        access_log=None,  # type: ignore[arg-type]  # None is what turns it off, as in web.Server
        lingering_time=0,
        keepalive_timeout=_IDLE_S,
    )
    connection.quiet_timer = loop.call_later(asks_within_s, on_quiet, connection)
    return connection


def cut(connection: web.RequestHandler) -> None:
    """End a connection at once, whatever it is about to say."""
    if connection.transport is not None:
        connection.transport.abort()
    connection.force_close()
