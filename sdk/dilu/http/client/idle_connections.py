"""Connections that wait for their next request, by the address that they lead to."""

from __future__ import annotations

import asyncio
import sys

from dilu.http.addresses import Address
from dilu.http.client.connection import ClientConnection


class IdleConnections:
    """At most `max_count` of them, each for at most `max_idle_s`; the one used last is taken first.

    One too many is closed when it comes back. The addresses of a scraper come round in turn: to make room by closing
    the one that waited longest would close the very one that is needed next.
    """

    def __init__(self, *, max_idle_s: float, max_count: int = sys.maxsize) -> None:
        self._loop = asyncio.get_running_loop()
        self._max_idle_s = max_idle_s
        self._max_count = max_count
        self._count = 0
        self._by_address: dict[Address, list[ClientConnection]] = {}  # the longest idle first
        self._close_old_at_s = 0.0

    def take(self, address: Address) -> ClientConnection | None:
        """Return a connection to this address, or None if a new one is needed."""
        idle = self._by_address.get(address)
        while idle:
            connection = idle.pop()
            self._count -= 1
            if connection.is_open and self._loop.time() - connection.idle_since_s <= self._max_idle_s:
                return connection
            connection.close()
        return None

    def keep(self, connection: ClientConnection) -> None:
        """Keep a connection, or close it where there is no room for it."""
        now_s = connection.idle_since_s = self._loop.time()
        if now_s >= self._close_old_at_s:
            self._close_old(now_s)
        if self._count >= self._max_count:
            connection.close()
            return
        self._count += 1
        idle = self._by_address.get(connection.address)
        if idle is None:
            self._by_address[connection.address] = [connection]
        else:
            idle.append(connection)

    def forget(self, connection: ClientConnection) -> None:
        """Keep this connection no longer, if it was kept."""
        idle = self._by_address.get(connection.address)
        if idle is None:
            return
        if connection in idle:
            idle.remove(connection)
            self._count -= 1
        if not idle:  # `take` leaves an empty list, which its connection usually comes back to
            del self._by_address[connection.address]

    def close(self) -> None:
        """Close all of them."""
        for idle in self._by_address.values():
            for connection in idle:
                connection.close()
        self._by_address.clear()
        self._count = 0

    def _close_old(self, now_s: float) -> None:
        """Close those whose time is over, ten times in that time: their addresses may never be asked for again."""
        self._close_old_at_s = now_s + self._max_idle_s / 10.0
        for idle in self._by_address.values():
            for connection in idle:
                if now_s - connection.idle_since_s <= self._max_idle_s:
                    break
                connection.close()  # when it has ended, `forget` takes it out
