"""uvicorn's HTTP/1.1 protocol with bounds on what a client may send before the application sees it."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024  # request line and headers together
MAX_HEADERS = 128
HEAD_TIMEOUT_S = 10.0  # from the first byte of a request (or the connection) to the end of its headers
# An answer may go out before the body came in (413). What follows is read and thrown away, since closing at
# once would reset the connection and take the answer with it; but not for ever.
MAX_DISCARDED_BYTES = 64 * 1024 * 1024


class BoundedHttpProtocol(HttpToolsProtocol):
    """Refuses floods of headers with 431 and clients that never finish their headers with 408."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading_head = True
        self._head_bytes = 0
        self._header_count = 0
        self._discarded_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refusal: tuple[int, str] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Start the clock for the first request's headers."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._stop_head_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and bound what has come of an unfinished head."""
        if self._reading_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if not self._reading_head:
            return
        # Only an unfinished head gets here; a request that came in one piece has stopped the clock already.
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"the headers are larger than {MAX_HEAD_BYTES} bytes")
        elif self._head_timer is None and self._head_bytes and not self.transport.is_closing():
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._header_count = 0
        self._head_bytes = max(self._head_bytes, 1)  # it may have come at the end of another request's data

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; raising makes the parser stop and answer."""
        self._header_count += 1
        if self._header_count > MAX_HEADERS:
            self._refusal = (431, f"more than {MAX_HEADERS} headers")
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is complete: stop its clock and its count."""
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES:
            self._refusal = (431, f"the headers are larger than {MAX_HEAD_BYTES} bytes")
            raise ValueError("headers too large")
        self._reading_head = False
        self._head_bytes = 0
        self._discarded_bytes = 0
        self._stop_head_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand the body on, or throw it away after the answer, within bounds."""
        if self.cycle.response_complete:
            self._discarded_bytes += len(body)
            if self._discarded_bytes > MAX_DISCARDED_BYTES:
                self.transport.close()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next byte belongs to the next request's head."""
        self._reading_head = True
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; the reason may be one of our bounds."""
        status, text = self._refusal or (400, msg)
        self._refuse(status, text)

    def _head_timed_out(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            # The request before is still being answered; its answer goes first.
            self._head_timer = self.loop.call_later(HEAD_TIMEOUT_S, self._head_timed_out)
        elif self._head_bytes:
            self._refuse(408, f"the headers did not come within {HEAD_TIMEOUT_S:g} s")
        else:
            self.transport.close()  # a connection on which nothing was ever sent

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: int, text: str) -> None:
        self._stop_head_timer()
        if self.transport.is_closing():
            return
        body = text.encode("ascii", "replace")
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()
