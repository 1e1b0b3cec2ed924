"""`POST /v1/chat/completions` of functions with `openai="chat"`: `dilu.ChatRequest` in, text out.

Clients may request a stream or a whole answer from both kinds of handlers: the pieces of a generator are joined for a
whole answer, and a returned answer is streamed as one piece. Token counts come from a `dilu.ChatResult`, or are 0.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from dilu.chat import ChatRequest, ChatResult
from dilu.errors import RequestError
from dilu.http import sse
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.protocols.chat_messages import ChatCall, ChatWriter, parse_chat, result_of
from dilu.runtime.protocols.openai_common import check_model, error_body

_DONE = sse.event(b"[DONE]")


def routes(prefix: str) -> list[CallRoute]:
    """Return the route of one function."""
    return [CallRoute(method="POST", path=f"{prefix}/chat/completions", answer=answer_chat, error_body=error_body)]


async def answer_chat(call: Call) -> None:
    """Run the function on one conversation and answer with its text."""
    chat = parse_chat(await call.body())
    name = call.service.definition.spec.name
    check_model(chat.item.model, name)
    writer = ChatWriter(call.request_id, name)
    if chat.is_stream:
        await call.answer_stream(_chunks(call, chat, writer), on_error=_stream_error)
    else:
        await call.answer(writer.whole(await _whole(call, chat.item)))


async def _whole(call: Call, item: ChatRequest) -> ChatResult:
    (result,) = await call.run([item])
    parts = result if call.service.definition.is_streaming else [result]
    whole = ChatResult()
    for part in parts:
        whole = _joined(whole, part)
    return whole


def _joined(whole: ChatResult, part: Any) -> ChatResult:
    """Return the answer with one more part. The finish reason and counts of the last `ChatResult` apply."""
    more = result_of(part)
    text = whole.text + more.text
    return replace(more if isinstance(part, ChatResult) else whole, text=text)


async def _chunks(call: Call, chat: ChatCall, writer: ChatWriter) -> AsyncGenerator[bytes, None]:
    whole = ChatResult()
    started = False
    async with aclosing(_parts(call, chat.item)) as parts:
        async for part in parts:
            more = result_of(part)
            if isinstance(part, ChatResult):
                whole = replace(part, text="")  # the text was sent already
            if not started:  # not before: an error before the first part is answered with its status
                yield sse.event(writer.first())
                started = True
            if more.text:
                yield sse.event(writer.delta(more.text))
    if not started:
        yield sse.event(writer.first())
    yield sse.event(writer.last(whole))
    if chat.includes_usage:
        yield sse.event(writer.usage(whole))
    yield _DONE


async def _parts(call: Call, item: ChatRequest) -> AsyncGenerator[Any, None]:
    if call.service.definition.is_streaming:
        # A generator, which must be closed.
        async with aclosing(cast("Any", call.stream(item))) as parts:
            async for part in parts:
                yield part
    else:
        (result,) = await call.run([item])
        yield result


def _stream_error(error: RequestError, request_id: str) -> bytes:
    return sse.event(error_body(error, request_id))
