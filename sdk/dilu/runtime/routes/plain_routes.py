"""The plain route of a function: JSON in, JSON or server-sent events out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from dilu.errors import RequestError
from dilu.http import sse
from dilu.http.answers import error_body
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.codec import encode_result
from dilu.runtime.execution.service import FunctionService
from dilu.runtime.protocols.cloud_events import answer_event

# A stream that ends without this event was cut; a client cannot tell otherwise.
LAST_EVENT = sse.event(b"{}", name=b"done")


def plain_route(service: FunctionService, path: str) -> CallRoute:
    """Return the route `POST path`, which calls the function."""
    answer = _answer_stream if service.definition.is_streaming else _answer_json
    return CallRoute(method="POST", path=path, answer=answer)


async def _answer_json(call: Call) -> None:
    if call.head.is_cloud_event:
        await answer_event(call)
        return
    answer = call.submit(call.service.decode(await call.body()))
    await call.answer(encode_result(await answer))


async def _answer_stream(call: Call) -> None:
    if call.head.is_cloud_event:
        await answer_event(call)
        return
    item = call.service.decode(await call.body())
    if _wants_json(call):
        await call.answer(encode_result((await call.run([item]))[0]))
        return
    await call.answer_stream(_events(call.stream(item)), on_error=error_event)


def _wants_json(call: Call) -> bool:
    """Return whether the client accepts only one JSON value: then the parts are sent as a list."""
    accept = call.head[b"accept"].lower()
    return b"application/json" in accept and b"text/event-stream" not in accept


async def _events(parts: AsyncIterator[Any]) -> AsyncIterator[bytes]:
    async for part in parts:
        yield sse.event(encode_result(part))
    yield LAST_EVENT


def error_event(error: RequestError, request_id: str) -> bytes:
    """Return the event that ends a stream which failed after it had begun."""
    return sse.event(error_body(error, request_id), name=b"error")
