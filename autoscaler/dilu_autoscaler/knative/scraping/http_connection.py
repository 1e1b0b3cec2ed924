"""One HTTP/1.1 connection for small answers: one question at a time, and no more is read of an answer than counts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias, cast

import httptools

MOST_BODY_BYTES: Final = 336
"""What a report can take: six numbers, a host's name and some room. The rest of a longer body is not read."""
MOST_HEAD_BYTES: Final = 16 * 1024
_MOST_BYTES_PER_BODY_BYTE: Final = 8
"""Of a body in chunks of one byte, each takes six; what has more never ends."""

Address: TypeAlias = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Nothing came back, and why."""

    reason: str


OnAnswer: TypeAlias = Callable[["Answer | Failed"], None]


@dataclass(slots=True, kw_only=True, eq=False)
class Get:
    """One request under way."""

    address: Address
    request: bytes
    keeps_alive: bool
    on_answer: OnAnswer
    late_s: float
    connection: Connection | None = None
    connecting: asyncio.Task[None] | None = field(default=None, repr=False)
    is_over: bool = False


class Owner(Protocol):
    """Whom a connection belongs to."""

    def opened(self, connection: Connection) -> None:
        """A connection is there."""
        ...

    def answered(self, get: Get, answer: Answer, reusable: Connection | None) -> None:
        """An answer is complete; its connection can be used again, or None."""
        ...

    def lost(self, connection: Connection, get: Get | None, *, may_repeat: bool, reason: str) -> None:
        """A connection is gone, and with it the answer to `get`."""
        ...


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self, owner: Owner, address: Address, most_body_bytes: int = MOST_BODY_BYTES) -> None:
        self.address = address
        self._owner = owner
        self._most_body_bytes = most_body_bytes
        self._transport: asyncio.Transport | None = None
        self._get: Get | None = None
        self._was_used = False
        self._start_answer()
        self._parser = httptools.HttpResponseParser(self)

    def send(self, get: Get) -> None:
        """Write the request; its answer goes to the owner."""
        self._get, get.connection = get, self
        self._start_answer()
        if self._transport is not None:
            self._transport.write(get.request)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _start_answer(self) -> None:
        self._bytes = 0
        self._is_in_head = True
        self._content_type = ""
        self._body = b""
        self._is_complete = False
        self._has_more = False  # bytes beyond what was asked for
        self._status = 0
        self._keeps_alive = False

    # -- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        self._owner.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        get, self._get, self._transport = self._get, None, None
        # A kept connection that its server ended just now: nothing was answered, and a GET may be sent again.
        may_repeat = self._was_used and self._bytes == 0
        reason = str(error) if error is not None else "the connection ended before the answer"
        self._owner.lost(self, get, may_repeat=may_repeat, reason=reason)

    def data_received(self, data: bytes) -> None:
        """Bytes of an answer. Bytes that nobody asked for end the connection."""
        if self._get is None:
            self.abort()
            return
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self._is_complete:
                self._fail(f"not HTTP: {error}")
                return
            self._has_more = True
        if self._is_complete or self._has_more:
            self._answer()
        elif self._is_in_head and self._bytes > MOST_HEAD_BYTES:
            self._fail(f"its head has more than {MOST_HEAD_BYTES} bytes")
        elif self._bytes > MOST_HEAD_BYTES + _MOST_BYTES_PER_BODY_BYTE * self._most_body_bytes:
            self._fail(f"{self._bytes} bytes and no end of it")  # chunks of next to nothing, or trailers

    # -- the parser's

    def on_message_begin(self) -> None:
        """An answer begins: the one that was asked for, or one more."""
        self._has_more = self._is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header of the answer."""
        if name.lower() == b"content-type" and not self._has_more:
            self._content_type = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there, or that of an interim answer."""
        if not self._is_complete:
            self._status = self._parser.get_status_code()
            self._is_in_head = self._status < 200

    def on_body(self, body: bytes) -> None:
        """Bytes of the body: what is too much ends the reading."""
        if self._is_complete or self._has_more:
            return
        room = self._most_body_bytes - len(self._body)
        self._body += body[:room]
        self._has_more = len(body) > room

    def on_message_complete(self) -> None:
        """The answer is complete; an interim one is none."""
        if not self._is_complete and self._status >= 200:
            self._is_complete, self._keeps_alive = True, self._parser.should_keep_alive()

    def _answer(self) -> None:
        get, self._get, self._was_used = self._get, None, True
        assert get is not None
        get.connection = None
        reusable = self._is_complete and not self._has_more and self._keeps_alive and get.keeps_alive
        if not reusable:
            self.abort()
        answer = Answer(status=self._status, content_type=self._content_type, body=self._body)
        self._owner.answered(get, answer, self if reusable else None)

    def _fail(self, reason: str) -> None:
        get, self._get = self._get, None
        self.abort()
        self._owner.lost(self, get, may_repeat=False, reason=reason)
