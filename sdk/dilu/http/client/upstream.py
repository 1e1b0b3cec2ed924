"""Requests to one server whose responses are passed on as they come.

Two errors tell apart whether a request may be sent elsewhere: with `ConnectFailedError` nothing was written, with
`ResponseLostError` it may have been executed. No request is ever written twice.
"""

from __future__ import annotations

import asyncio
from typing import Final

from dilu.errors import DiluError
from dilu.http.addresses import host_header
from dilu.http.client.connection import ClientConnection, Response, ResponseLimits, ResponseLostError
from dilu.http.client.idle_connections import IdleConnections

_CONNECT_TIMEOUT_S: Final = 5.0
# Well below the limit of a replica's server (two minutes), which so never closes a connection that is about to be used.
_MAX_IDLE_S: Final = 60.0
_HIGH_WATER_BYTES: Final = 256 * 1024
_LIMITS: Final = ResponseLimits()


class ConnectFailedError(DiluError):
    """There is no connection to the server: nothing was sent. `is_closed`: nothing listens at its address."""

    def __init__(self, message: str, *, is_closed: bool) -> None:
        super().__init__(message)
        self.is_closed = is_closed


class ResponseLateError(ResponseLostError):
    """The response did not begin in time."""


class StreamedResponse(Response):
    """A response whose body is taken piece by piece; while much of it waits to be taken, no more is read."""

    __slots__ = ("_broken", "_chunks", "_connection", "_size", "_waiter", "begun")

    def __init__(self, connection: ClientConnection, loop: asyncio.AbstractEventLoop) -> None:
        self.begun: asyncio.Future[None] = loop.create_future()  # done once the head is there
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._broken: ResponseLostError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def taken(self) -> bytes:
        """Return what has come of the body since the last call."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._size = 0
        if not self.is_complete:
            self._connection.resume()
        return body

    async def next_chunk(self) -> bytes:
        """Return more of the body, or nothing at its end. Raises `ResponseLostError` if it breaks off."""
        while not self._chunks and not self.is_complete:
            if self._broken is not None:
                raise self._broken
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.taken()

    def abort(self) -> None:
        """Cut the connection of a response whose rest is not wanted: its server then knows."""
        if not self.is_complete:
            self._connection.abort()

    # -- called by the connection

    def put(self, chunk: bytes) -> bool:
        """Take a piece of the body. Return whether reading should pause."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._waiter is not None:
            self._wake()
        return self._size > _HIGH_WATER_BYTES

    def finish(self) -> None:
        """Mark the body as complete."""
        self.is_complete = True
        if self._waiter is not None:
            self._wake()

    def parsed(self) -> None:
        """Hand the response over, if it was not yet."""
        if not self.begun.done():
            self.begun.set_result(None)

    def fail(self, error: ResponseLostError) -> None:
        """Raise the error where the response, or more of it, is waited for."""
        if not self.begun.done():
            self.begun.set_exception(error)
        else:
            self._broken = error
            self._wake()

    def late(self, within_s: float) -> None:
        """Give up a response that has not begun."""
        reason = f"the response did not begin within {within_s:g} s"
        self.fail(ResponseLateError(f"{host_header(self._connection.address)}: {reason}"))
        self._connection.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Upstream:
    """One server's address, with the connections to it."""

    def __init__(self, host: str, port: int) -> None:
        self.port = port
        self._address = (host, port)
        self._loop = asyncio.get_running_loop()
        self._idle = IdleConnections(max_idle_s=_MAX_IDLE_S)
        self._connections: set[ClientConnection] = set()  # the busy ones, too
        self._is_closed = False

    async def send(
        self, head: bytes, body: bytes, *, is_head: bool = False, answer_within_s: float
    ) -> StreamedResponse:
        """Send a request and return its response once the head is there.

        The caller takes all of the body, or aborts the response. Raises `ConnectFailedError` or `ResponseLostError`.
        """
        connection = self._idle.take(self._address) or await self._connect()
        response = StreamedResponse(connection, self._loop)
        connection.send(head, body, response, is_head=is_head)
        timer = self._loop.call_later(answer_within_s, response.late, answer_within_s)
        try:
            await response.begun
        except asyncio.CancelledError:
            connection.abort()
            raise
        finally:
            timer.cancel()
        return response

    def close(self) -> None:
        """Close the free connections, and from now on each other one after its response."""
        self._is_closed = True
        self._idle.close()

    def abort_all(self) -> None:
        """Cut every connection: the server has ended, and responses under way will not come."""
        self._is_closed = True
        for connection in list(self._connections):
            connection.abort()

    async def _connect(self) -> ClientConnection:
        where = host_header(self._address)
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await self._loop.create_connection(
                    lambda: ClientConnection(self, self._address, _LIMITS), *self._address
                )
        except ConnectionError as error:
            raise ConnectFailedError(f"{where}: {error}", is_closed=True) from error
        except TimeoutError as error:  # the server is too busy to accept
            reason = f"no connection within {_CONNECT_TIMEOUT_S:g} s"
            raise ConnectFailedError(f"{where}: {reason}", is_closed=False) from error
        except OSError as error:  # we are out of files or ports
            raise ConnectFailedError(f"{where}: {error.strerror or error}", is_closed=False) from error
        return connection

    # -- called by the connections

    def opened(self, connection: ClientConnection) -> None:
        """Take notice of a new connection."""
        self._connections.add(connection)

    def keep(self, connection: ClientConnection) -> None:
        """Take back a connection that can be used again."""
        if self._is_closed:
            connection.close()
        else:
            self._idle.keep(connection)

    def forget(self, connection: ClientConnection) -> None:
        """Take notice that a connection has ended."""
        self._connections.discard(connection)
        self._idle.forget(connection)
