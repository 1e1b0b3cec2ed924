"""A replica's address, with the connections to it that are free.

It tells apart whether nothing was sent (`ConnectFailedError`), or the request may have been executed
(`AnswerLostError`).
"""

from __future__ import annotations

import asyncio

from dilu.errors import DiluError
from dilu_autoscaler.local.connections import Answer, Connection

_CONNECT_S = 5.0
# Well below the replica's own limit (two minutes), so that it never closes a connection that we are about to use.
_LONGEST_IDLE_S = 60.0


class ConnectFailedError(DiluError):
    """There is no connection to the replica: nothing was sent. `is_closed`: nobody listens there any more."""

    def __init__(self, message: str, *, is_closed: bool) -> None:
        super().__init__(message)
        self.is_closed = is_closed


class Upstream:
    """One replica's address, with the connections to it that are free."""

    def __init__(self, host: str, port: int) -> None:
        self.port = port
        self._host = host
        self._loop = asyncio.get_running_loop()
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()  # the busy ones, too
        self._closed = False

    async def send(self, head: bytes, body: bytes, *, is_head: bool = False, answer_within_s: float) -> Answer:
        """The answer to the request, once its head is there. The caller takes all of its body, or aborts it."""
        connection = self._free_connection() or await self._connect()
        return await connection.exchange(head, body, is_head=is_head, answer_within_s=answer_within_s)

    def close(self) -> None:
        """Close the free connections, and from now on each other one after its answer."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def abort_all(self) -> None:
        """End every connection at once: the replica is gone, and what was in flight there will not be answered."""
        self._closed = True
        for connection in list(self._all):
            connection.abort()

    def _free_connection(self) -> Connection | None:
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.is_open and self._loop.time() - connection.idle_since_s <= _LONGEST_IDLE_S:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, connection = await self._loop.create_connection(lambda: Connection(self), self._host, self.port)
        except ConnectionError as error:
            raise ConnectFailedError(f"{self._host}:{self.port}: {error}", is_closed=True) from error
        except (OSError, TimeoutError) as error:  # the replica is too busy to accept, or we are out of files or ports
            reason = error.strerror if isinstance(error, OSError) and error.strerror else f"not within {_CONNECT_S:g} s"
            raise ConnectFailedError(f"{self._host}:{self.port}: {reason}", is_closed=False) from error
        self._all.add(connection)
        return connection

    # -- called by the connection

    def keep(self, connection: Connection) -> None:
        """A connection became free."""
        if self._closed:
            connection.close()
        else:
            connection.idle_since_s = self._loop.time()
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        self._all.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
