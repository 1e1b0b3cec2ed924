"""What every ASGI application here shares: it reads a bounded body, and writes JSON answers and errors."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import msgspec

from dilu.errors import RequestError
from dilu.http.bounded_protocol import whole_body
from dilu.http.call_headers import CallHeaders
from dilu.spec import names

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_TIMEOUT_S = 30.0  # for a body in pieces, from the first one to the last
_JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")

_id_prefix = os.urandom(6).hex()
_id_numbers = itertools.count(1)


class ClientGoneError(Exception):
    """The client closed its connection before its request was complete."""


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """Return the caller's id (`X-Request-Id`, `X-Call-Id`, `ce-id`) if it is printable and short, else a new one."""
    return CallHeaders(headers).request_id or new_request_id()


def new_request_id() -> str:
    """Return an id that no other request of any process has."""
    return f"{_id_prefix}-{next(_id_numbers):x}"


async def read_body(scope: Scope, receive: Receive, max_bytes: int) -> bytes:
    """Read the whole body. Raises `RequestError` (413 too large, 408 too slow) or `ClientGoneError`."""
    for name, value in scope["headers"]:
        # The parser has checked that it is a number.
        if name == b"content-length" and int(value) > max_bytes:
            raise _too_large(max_bytes)
    body = whole_body(scope)
    if body is not None:  # the usual case
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await _read_pieces(receive, max_bytes)
    except TimeoutError:
        raise RequestError(408, "slow-body", f"the body did not arrive within {BODY_TIMEOUT_S:g} s") from None


async def _read_pieces(receive: Receive, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message["body"]
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(max_bytes: int) -> RequestError:
    return RequestError(413, "body-too-large", f"the body is larger than {max_bytes} bytes")


async def send_json(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send one complete JSON answer."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [_JSON, length, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: RequestError, id_: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """Send an error as the JSON object that every part of Dilu answers with."""
    await send_json(send, error.status, error_body(error, id_), [*error_headers(error, id_), *headers])


def error_headers(error: RequestError, id_: str) -> Headers:
    """Return an error's headers: the request's id, Retry-After, and whether the request was refused unexecuted."""
    extra: Headers = [(names.HEADER_REQUEST_ID.lower().encode(), id_.encode())]
    if error.retry_after_s is not None:
        extra.append((b"retry-after", b"%d" % error.retry_after_s))
    if error.refused is not None:
        extra.append((names.HEADER_REFUSED.lower().encode(), error.refused.encode()))
    return extra


def readable(text: str) -> str:
    """Return the text as JSON can hold it: half of a surrogate pair becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def error_body(error: RequestError, id_: str) -> bytes:
    """Return `{"error": {"code", "message", "field"?, "request_id"}}`."""
    content: dict[str, str] = {"code": str(error.code), "message": readable(str(error))}
    if error.field is not None:
        content["field"] = readable(str(error.field))
    content["request_id"] = id_
    return msgspec.json.encode({"error": content})
