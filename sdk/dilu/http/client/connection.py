"""One HTTP/1.1 connection to a server. It parses one response at a time, in bounds, and changes no byte of a body."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import httptools

from dilu.errors import DiluError
from dilu.http.addresses import Address, host_header

Headers: TypeAlias = list[tuple[bytes, bytes]]

_MAX_JOINED_BYTES: Final = 256 * 1024  # a larger body is written by itself, since joining would copy it


class ResponseLostError(DiluError):
    """The connection broke, or what came is no response, after the request was written: it may have been executed."""

    def __init__(self, message: str, *, is_stale: bool = False) -> None:
        super().__init__(message)
        self.is_stale = is_stale
        """It was a kept connection, and ended before the first byte of a response: its server was just closing it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseLimits:
    """How much is read of one response."""

    max_head_bytes: int = 64 * 1024  # also of what lies between two pieces of the body, and of the trailers
    max_bytes: int = sys.maxsize  # in all, with head and chunk headers; streams have no end that is known before


class Response:
    """One response as a connection fills it in. Subclasses decide what becomes of its pieces."""

    __slots__ = ("has_length", "headers", "is_complete", "status")
    status: int  # 0: the head is not complete
    headers: Headers
    has_length: bool  # it has a Content-Length: a response in one piece, not a stream
    is_complete: bool

    def put(self, chunk: bytes) -> bool:
        """Take a piece of the body. Return whether reading should pause."""
        raise NotImplementedError

    def finish(self) -> None:
        """Mark the body as complete."""
        self.is_complete = True

    def parsed(self) -> None:
        """Act on what is there: the head is complete, and all bytes that came so far are parsed."""
        raise NotImplementedError

    def fail(self, error: ResponseLostError) -> None:
        """Take notice that no more will come."""
        raise NotImplementedError


class ConnectionOwner(Protocol):
    """The client that a connection belongs to."""

    def opened(self, connection: ClientConnection) -> None:
        """Take notice of a new connection."""
        ...

    def keep(self, connection: ClientConnection) -> None:
        """Take back a connection that can be used again."""
        ...

    def forget(self, connection: ClientConnection) -> None:
        """Take notice that a connection has ended."""
        ...


class ClientConnection(asyncio.Protocol):
    """One connection of a client to a server."""

    def __init__(self, owner: ConnectionOwner, address: Address, limits: ResponseLimits) -> None:
        self.address = address
        self.idle_since_s = 0.0
        self._owner = owner
        self._max_head_bytes = limits.max_head_bytes
        self._max_bytes = limits.max_bytes
        self._transport: Any = None  # uvloop's transports do not derive from asyncio's
        self._parser = httptools.HttpResponseParser(self)
        self._response: Response | None = None  # None: no request is under way
        self._was_used = False
        self._is_head = False
        self._may_be_kept = True
        self._has_end = False  # the response itself tells where it ends
        self._is_complete = False
        self._keep_alive = False
        self._is_paused = False
        self._received_bytes = 0  # of this response
        self._parsed_bytes = 0  # of them, up to the last end of a head or piece of a body

    @property
    def is_open(self) -> bool:
        """Whether a request may be written."""
        return not self._transport.is_closing()

    def send(
        self, head: bytes, body: bytes, response: Response, *, is_head: bool = False, keep_alive: bool = True
    ) -> None:
        """Write one request and fill in `response`. `is_head`: its response has no body, whatever its head states."""
        self._response = response
        response.status = 0
        response.headers = []
        response.has_length = response.is_complete = False
        self._is_head = is_head
        self._may_be_kept = keep_alive
        self._is_complete = self._has_end = False
        self._received_bytes = self._parsed_bytes = 0
        if len(body) < _MAX_JOINED_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._transport.write(body)

    def close(self) -> None:
        """End a free connection."""
        self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def resume(self) -> None:
        """Read on, after a pause that `Response.put` asked for."""
        if self._is_paused and self.is_open:
            self._is_paused = False
            self._transport.resume_reading()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self._transport = transport
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        """Parse. The response learns of it after the whole piece, so that a small one is complete by then."""
        response = self._response
        if response is None:
            self.abort()  # these bytes answer no request
            return
        self._received_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._keep_alive = False
            if not self._is_complete:
                self._give_up(_reason(error))
                return
        if self._is_complete:
            self._set_free()
        elif self._received_bytes - self._parsed_bytes > self._max_head_bytes:
            self._give_up(f"the response's head is larger than {self._max_head_bytes} bytes")
            return
        if response.status:
            response.parsed()
        if self._received_bytes > self._max_bytes and self._response is response:
            self._give_up(f"no end of the response after {self._received_bytes} bytes")

    def connection_lost(self, exc: Exception | None) -> None:
        """End the request under way. A response without a length ends like this, too."""
        self._owner.forget(self)
        response = self._response
        if response is None:
            return
        if exc is None and response.status and not self._has_end:
            self._response = None
            response.finish()
            response.parsed()
            return
        is_stale = self._was_used and not self._received_bytes
        reason = "the server closed the connection before its response was complete"
        self._lose(reason if exc is None else f"{reason} ({exc})", is_stale=is_stale)

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a response. A second one answers no request: the connection is out of step."""
        if self._is_complete:
            self._keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one that follows the body (a trailer) is left out."""
        if self._response is not None and not self._response.status:
            self._response.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """End the response's head."""
        response = self._response
        if response is None or response.status:
            return
        status = self._parser.get_status_code()
        if status < 200:  # an interim response
            response.headers.clear()
            return
        size = 0
        for name, value in response.headers:
            size += len(name) + len(value)
            lower = name.lower()
            if lower == b"content-length":
                response.has_length = self._has_end = True
            elif lower == b"transfer-encoding" and b"chunked" in value.lower():
                self._has_end = True
        if size > self._max_head_bytes:
            raise ValueError(f"a head of {size} bytes, must be at most {self._max_head_bytes}")
        response.status = status
        self._parsed_bytes = self._received_bytes
        if self._is_head:
            self._end(keep_alive=False)  # the parser cannot be told that no body follows

    def on_body(self, chunk: bytes) -> None:
        """Hand over a piece of the body."""
        self._parsed_bytes = self._received_bytes
        if self._is_complete:
            return
        if self._response is not None and self._response.put(chunk) and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """End the response, unless it was an interim one."""
        if self._response is not None and self._response.status and not self._is_complete:
            self._end(keep_alive=self._may_be_kept and self._parser.should_keep_alive())

    def _end(self, *, keep_alive: bool) -> None:
        self._is_complete = True
        self._keep_alive = keep_alive
        if self._response is not None:
            self._response.finish()

    def _set_free(self) -> None:
        self.resume()
        self._response = None
        self._was_used = True
        if self._keep_alive:
            self._owner.keep(self)
        else:
            self.close()

    def _give_up(self, reason: str) -> None:
        self._lose(reason)
        self.abort()

    def _lose(self, reason: str, *, is_stale: bool = False) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.fail(ResponseLostError(f"{host_header(self.address)}: {reason}", is_stale=is_stale))


def _reason(error: Exception) -> str:
    """Return why the parser stopped."""
    if isinstance(error, httptools.HttpParserUpgrade):
        return "the server switched to another protocol unasked"
    if isinstance(error, httptools.HttpParserCallbackError) and isinstance(error.__context__, Exception):
        error = error.__context__
    return f"the response is not HTTP: {error}"
