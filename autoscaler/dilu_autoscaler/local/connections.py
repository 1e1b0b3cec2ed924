"""One HTTP/1.1 connection to a replica, and the answers on it, made for passing on.

It changes no byte of what it passes on, and hands over a small answer in one piece, a long one as it comes.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

from dilu.errors import DiluError

Headers = list[tuple[bytes, bytes]]

_HIGH_WATER_BYTES = 256 * 1024
# An answer's head, also what lies between two pieces of its body, and its trailers.
_MOST_HEAD_BYTES = 64 * 1024


class AnswerLostError(DiluError):
    """The connection broke, or made no sense, after the request was sent: it may have been executed."""


class AnswerLateError(AnswerLostError):
    """The answer did not begin in time."""


class Pool(Protocol):
    """Who keeps connections."""

    def keep(self, connection: Connection) -> None:
        """A connection became free."""
        ...

    def forget(self, connection: Connection) -> None:
        """A connection is gone."""
        ...


class Answer:
    """One answer of a replica: its head, and its body as it comes."""

    __slots__ = ("_broken", "_chunks", "_connection", "_size", "_waiter", "complete", "has_length", "headers", "status")

    def __init__(self, connection: Connection) -> None:
        self.status = 0
        self.headers: Headers = []
        self.has_length = False  # its length was announced: an answer in one piece, not a stream
        self.complete = False
        self._connection = connection
        self._chunks: list[bytes] = []
        self._size = 0
        self._broken: AnswerLostError | None = None
        self._waiter: asyncio.Future[None] | None = None

    def taken(self) -> bytes:
        """What has come of the body and was not taken yet."""
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self._size = 0
        if not self.complete:
            self._connection.resume()
        return body

    async def next_chunk(self) -> bytes:
        """More of the body; nothing at its end. Raises `AnswerLostError` if the replica went away in between."""
        while not self._chunks and not self.complete:
            if self._broken is not None:
                raise self._broken
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self.taken()

    def abort(self) -> None:
        """Nobody wants the rest: the replica sees that its client is gone."""
        if not self.complete:
            self._connection.abort()

    # -- called by the connection

    def put(self, chunk: bytes) -> bool:
        """Keep a piece of the body; whether so much is kept now that reading should pause."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        self._wake()
        return self._size > _HIGH_WATER_BYTES

    def finish(self) -> None:
        """The body is complete."""
        self.complete = True
        self._wake()

    def fail(self, error: AnswerLostError) -> None:
        """No more will come."""
        self._broken = error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Connection(asyncio.Protocol):
    """One connection to a replica: one exchange at a time."""

    def __init__(self, pool: Pool) -> None:
        self.idle_since_s = 0.0
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None  # uvloop's transports do not derive from asyncio's
        self._parser = httptools.HttpResponseParser(self)
        self._answer: Answer | None = None  # None: free
        self._head: asyncio.Future[Answer] | None = None  # waits for the answer's head
        self._is_head = False
        self._has_end = False  # the answer says itself where it ends
        self._complete = False
        self._keep_alive = False
        self._paused = False
        self._unparsed_bytes = 0  # that came since the parser last had something to say

    @property
    def is_open(self) -> bool:
        """Whether a request may be written."""
        return not self._transport.is_closing()

    async def exchange(self, head: bytes, body: bytes, *, is_head: bool, answer_within_s: float) -> Answer:
        """Send one request; its answer, once the head has come."""
        self._is_head = is_head
        self._complete = self._has_end = False
        self._unparsed_bytes = 0
        self._answer = Answer(self)
        self._head = self._loop.create_future()
        if len(body) < _HIGH_WATER_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)
        timer = self._loop.call_later(answer_within_s, self._too_late, answer_within_s)
        try:
            return await self._head
        except asyncio.CancelledError:
            self.abort()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        """End a free connection."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def resume(self) -> None:
        """Read on, after the kept part of the body was taken."""
        if self._paused and self.is_open:
            self._paused = False
            self._transport.resume_reading()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Parse. Who waits gets the answer after the whole piece, so that a small one comes complete."""
        answer = self._answer
        if answer is None:
            self.abort()  # nothing was asked
            return
        self._unparsed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep_alive = False
            if not self._complete:
                self._give_up(_reason(error))
                return
        if self._complete:
            self._set_free()
        elif self._unparsed_bytes > _MOST_HEAD_BYTES:
            self._give_up(f"the head of the replica's answer is larger than {_MOST_HEAD_BYTES} bytes")
            return
        if answer.status and self._head is not None and not self._head.done():
            self._head.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits. An answer without a length ends like this, too."""
        self._pool.forget(self)
        answer = self._answer
        if answer is None:
            return
        if exc is None and answer.status and not self._has_end:
            self._answer = None
            answer.finish()
        else:
            self._lose(AnswerLostError("the replica closed the connection before its answer was complete"))

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        """An answer begins. Nobody asked for a second one, so what follows the first is no longer in step."""
        if self._complete:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer; one that comes after the head (a trailer) is none."""
        if self._answer is not None and not self._answer.status:
            self._answer.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The answer's head is complete."""
        answer = self._answer
        if answer is None or answer.status:
            return
        status = self._parser.get_status_code()
        if status < 200:  # an interim answer
            answer.headers.clear()
            return
        size = 0
        for name, value in answer.headers:
            size += len(name) + len(value)
            lower = name.lower()
            if lower == b"content-length":
                answer.has_length = self._has_end = True
            elif lower == b"transfer-encoding" and b"chunked" in value.lower():
                self._has_end = True
        if size > _MOST_HEAD_BYTES:
            raise ValueError(f"a head of {size} bytes, must be at most {_MOST_HEAD_BYTES}")
        answer.status = status
        self._unparsed_bytes = 0
        if self._is_head:
            self._end(keep_alive=False)  # the parser cannot be told that no body follows

    def on_body(self, chunk: bytes) -> None:
        """A piece of the answer's body."""
        self._unparsed_bytes = 0
        if self._complete:
            return
        if self._answer is not None and self._answer.put(chunk) and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is complete, unless it was an interim one."""
        if self._answer is not None and self._answer.status and not self._complete:
            self._end(keep_alive=self._parser.should_keep_alive())

    def _end(self, *, keep_alive: bool) -> None:
        self._complete = True
        self._keep_alive = keep_alive
        if self._answer is not None:
            self._answer.finish()

    def _set_free(self) -> None:
        self.resume()
        self._answer = None
        if self._keep_alive:
            self._pool.keep(self)
        else:
            self.close()

    def _too_late(self, within_s: float) -> None:
        self._lose(AnswerLateError(f"the replica's answer did not begin within {within_s:g} s"))
        self.abort()

    def _give_up(self, reason: str) -> None:
        self._lose(AnswerLostError(reason))
        self.abort()

    def _lose(self, error: AnswerLostError) -> None:
        answer, self._answer = self._answer, None
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
        elif answer is not None:
            answer.fail(error)


def _reason(error: Exception) -> str:
    """Why what the parser stopped at is no answer."""
    if isinstance(error, httptools.HttpParserUpgrade):
        return "the replica switched to another protocol, for which nobody asked"
    if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
        error = error.__context__ if isinstance(error.__context__, Exception) else error
    return f"what the replica answered is not HTTP: {error}"
