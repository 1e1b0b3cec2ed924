"""uvicorn's HTTP/1.1 protocol with bounds on what a client may send before, and leave unread after, it is served.

Only this module and `listener` know uvicorn's internals. Here: the bounds, a body that can be taken without waiting,
and an answer that is written at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Mapping
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

MAX_HEAD_BYTES = 64 * 1024  # request line and headers together; also a chunk's head, and all trailers
MAX_HEADERS = 128
HEAD_TIMEOUT_S = 10.0  # from the first byte of a request (or the connection) to the end of its headers
UNREAD_TIMEOUT_S = 60.0  # for a client that reads nothing of what is sent to it
# An answer may be sent before the body has arrived (413). The rest of the body is read and discarded up to this limit:
# closing at once would reset the connection, and the client would lose the answer.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024

CYCLE = "dilu.cycle"  # key of uvicorn's request in the scope's extensions


def whole_body(scope: Mapping[str, Any]) -> bytes | None:
    """Return the request's body if all of it has arrived, else None."""
    cycle = _cycle(scope)
    if cycle is None or cycle.more_body or cycle.disconnected or cycle.waiting_for_100_continue:
        return None
    body = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()
    return body


def is_abandoned(scope: Mapping[str, Any]) -> bool:
    """Whether the client closed its connection."""
    cycle = _cycle(scope)
    return cycle is not None and (cycle.disconnected or cycle.transport.is_closing())


def answer_at_once(scope: Mapping[str, Any], status: int, head: bytes, body: bytes) -> bool:
    """Write a whole answer in one piece. Return False if it has to be sent through ASGI instead.

    `head` is complete header lines, with the content length. uvicorn writes head and body separately: one more system
    call, a tenth of the cost of a small answer.
    """
    cycle = _cycle(scope)
    if cycle is None or cycle.response_started or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
        return False
    if cycle.disconnected:
        return True
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    pieces = [STATUS_LINE[status]]
    for name, value in cycle.default_headers:
        pieces += (name, b": ", value, b"\r\n")
    pieces += (head, b"\r\n" if cycle.keep_alive else b"connection: close\r\n\r\n", body)
    cycle.transport.write(b"".join(pieces))
    cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def _cycle(scope: Mapping[str, Any]) -> RequestResponseCycle | None:
    cycle: RequestResponseCycle | None = scope.get("extensions", {}).get(CYCLE)
    return cycle


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses too many or too large headers with 431, and headers that do not end in time with 408."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._data = b""
        self._in_head = False  # a request has begun and its headers have not ended
        self._in_body = False
        self._unparsed_bytes = 0  # received since the parser's last callback
        self._header_count = 0
        self._head_bytes = 0
        self._discarded_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal: tuple[int, str] | None = None
        self._ignores_upgrade = False
        self._unread_bytes = 0
        self._unread_since_s = 0.0

    # -- for the listener

    @property
    def is_receiving(self) -> bool:
        """Whether a request has begun to arrive and is not complete."""
        return self._in_head or self._in_body

    @property
    def is_answering(self) -> bool:
        """Whether a complete request has no complete answer."""
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def abort(self) -> None:
        """Cut the connection at once."""
        if self.transport is not None:
            self.transport.abort()

    def check_unread(self, now_s: float) -> None:
        """Cut the connection of a client that has read nothing for `UNREAD_TIMEOUT_S`. Called about once a second."""
        size = self.transport.get_write_buffer_size()
        if size == 0 or size < self._unread_bytes or not self._unread_since_s:
            self._unread_since_s = now_s
        elif now_s - self._unread_since_s > UNREAD_TIMEOUT_S:
            self.abort()
        self._unread_bytes = size

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start the time limit of the first request's headers."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what the parser has not used."""
        self._data = data
        self._unparsed_bytes += len(data)
        super().data_received(data)
        if self._unparsed_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"headers or trailers are larger than {MAX_HEAD_BYTES} bytes")
        elif self._in_head and self._head_timer is None and not self.transport.is_closing():
            # A request that came in one piece never gets here.
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    # -- the parser's callbacks

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._in_head = True
        self._header_count = 0
        self._head_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; one after the body (a trailer) is counted and ignored."""
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            self._refusal = (431, f"more than {MAX_HEADERS} headers")
            raise ValueError("too many headers")
        if self._in_head:
            self._head_bytes += len(name) + len(value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head: stop its time limit and let the application begin."""
        if len(self.url) + self._head_bytes > MAX_HEAD_BYTES:
            self._refusal = (431, f"the headers are larger than {MAX_HEAD_BYTES} bytes")
            raise ValueError("headers too large")
        self._in_head = False
        self._unparsed_bytes = 0
        self._discarded_bytes = 0
        self._stop_head_timer()
        self._ignores_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self._ignores_upgrade:
            return  # it is parsed once more without the Upgrade header
        self._in_body = True
        super().on_headers_complete()
        extensions: Any = {CYCLE: self.cycle}
        self.scope["extensions"] = extensions

    def on_body(self, body: bytes) -> None:
        """Pass the body on, or discard it after the answer, up to `MAX_DISCARDED_BYTES`."""
        self._unparsed_bytes = 0
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request: the next byte belongs to the next one's head."""
        self._unparsed_bytes = 0
        if self._ignores_upgrade:
            return
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Send the refusal of what followed the answered request, if there is one."""
        super().on_response_complete()
        if self._refusal is not None:
            self._refuse(*self._refusal)

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser rejected; the reason may be one of our bounds."""
        status, text = self._refusal or (400, msg)
        self._refuse(status, text)

    def _unsupported_upgrade_warning(self) -> None:
        """Serve a request with an Upgrade header (h2c, websocket) as the plain request that it also is (RFC 9110 7.8).

        The parser stops at such a head and skips the body. So a new parser gets the same head without these headers,
        and what follows it. uvicorn calls this while it handles `HttpParserUpgrade`.
        """
        stopped = sys.exception() if sys.version_info >= (3, 12) else sys.exc_info()[1]
        if not self._ignores_upgrade or not isinstance(stopped, httptools.HttpParserUpgrade):
            return
        self._ignores_upgrade = False
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        upgrade = (b"upgrade", b"http2-settings")
        lines = [b"%b %b HTTP/%b" % (method, self.url, version)]
        lines += [b"%b: %b" % (name, value) for name, value in self.headers if name not in upgrade]
        rest = self._data[stopped.args[0] :]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(408, f"the headers did not arrive within {HEAD_TIMEOUT_S:g} s")
        else:
            self.transport.close()  # nothing was ever sent on this connection

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, text: str) -> None:
        """Refuse and close; where an earlier complete request is being answered, after its answer."""
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        if self.is_answering:
            self._refusal = (status, text)
            with contextlib.suppress(RuntimeError):  # reading is paused already
                self.transport.pause_reading()
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = text.encode("ascii", "replace")
            head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
            self.transport.write(STATUS_LINE[status] + head % len(body) + body)
        self.transport.close()
