"""The bodies of `POST /v1/chat/completions`: JSON to `ChatRequest`, and texts to JSON."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec

from dilu.chat import ChatMessage, ChatRequest, ChatResult
from dilu.errors import RequestError
from dilu.runtime.codec import encode_result, item_decoder
from dilu.runtime.protocols.openai_common import parse, refused

_Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
_Count = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]
_Seed = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]


class _Part(msgspec.Struct):
    type: str
    text: str | None = None


class _Message(msgspec.Struct):
    role: _Role
    content: str | list[_Part] | None = None
    name: str | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class _ChatBody(msgspec.Struct):
    model: str
    messages: Annotated[list[_Message], msgspec.Meta(min_length=1)]
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    temperature: Annotated[float, msgspec.Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    stop: str | list[str] | None = None
    seed: _Seed | None = None
    stream: bool | None = None
    stream_options: _StreamOptions | None = None
    n: int | None = None
    # Fields that change the form of the answer are refused; other unknown fields are ignored.
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    logprobs: bool | None = None
    response_format: dict[str, Any] | None = None


_decode_body = item_decoder(_ChatBody)


class ChatCall(msgspec.Struct, frozen=True):
    """One chat request: the item, and the requested form of its answer."""

    item: ChatRequest
    is_stream: bool
    includes_usage: bool


def parse_chat(body: bytes) -> ChatCall:
    """Parse the body of a request. Raise `RequestError` (400) that names the invalid field."""
    parsed: _ChatBody = parse(_decode_body, body)
    _check_served(parsed)
    stop = (parsed.stop,) if isinstance(parsed.stop, str) else tuple(parsed.stop or ())
    item = ChatRequest(
        messages=[_message(message, index) for index, message in enumerate(parsed.messages)],
        model=parsed.model,
        max_tokens=parsed.max_completion_tokens or parsed.max_tokens,
        temperature=parsed.temperature,
        top_p=parsed.top_p,
        stop=stop,
        seed=parsed.seed,
    )
    options = parsed.stream_options
    return ChatCall(item, bool(parsed.stream), options is not None and bool(options.include_usage))


def _check_served(body: _ChatBody) -> None:
    if body.n not in (None, 1):
        raise refused("n", "only one answer per request is supported; leave it out or set 1")
    for name in ("tools", "functions", "logprobs"):
        if getattr(body, name):
            raise refused(name, "not supported; leave it out")
    if body.response_format is not None and body.response_format.get("type") != "text":
        raise refused("response_format", "only text is supported; leave it out")


def _message(message: _Message, index: int) -> ChatMessage:
    content = message.content
    if isinstance(content, list):
        for number, part in enumerate(content):
            if part.type != "text" or part.text is None:
                where = f"messages[{index}].content[{number}].type"
                raise refused(where, f"{part.type[:40]!r}: only text parts are supported")
        content = "".join(part.text or "" for part in content)
    return ChatMessage(role=message.role, content=content or "", name=message.name)


class ChatWriter:
    """Writes the answer to one request, as a whole or in chunks."""

    def __init__(self, request_id: str, model: str) -> None:
        self._common = {"id": f"chatcmpl-{request_id}", "created": int(time.time()), "model": model}

    def whole(self, result: ChatResult) -> bytes:
        """Return the whole answer."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": result.text},
            "logprobs": None,
            "finish_reason": result.finish_reason,
        }
        return encode_result(
            {**self._common, "object": "chat.completion", "choices": [choice], "usage": _usage(result)}
        )

    def first(self) -> bytes:
        """Return the first chunk, which names the role."""
        return self._chunk({"role": "assistant", "content": ""})

    def delta(self, text: str) -> bytes:
        """Return the chunk for a piece of the text."""
        return self._chunk({"content": text})

    def last(self, result: ChatResult) -> bytes:
        """Return the chunk with the finish reason."""
        return self._chunk({}, result.finish_reason)

    def usage(self, result: ChatResult) -> bytes:
        """Return the chunk with the token counts, which follows the last one if the client requests it."""
        return encode_result({**self._common, "object": _CHUNK, "choices": [], "usage": _usage(result)})

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return encode_result({**self._common, "object": _CHUNK, "choices": [choice]})


_CHUNK = "chat.completion.chunk"


def _usage(result: ChatResult) -> dict[str, int]:
    return {
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "total_tokens": result.prompt_tokens + result.completion_tokens,
    }


def result_of(value: Any) -> ChatResult:
    """Return a handler's result, or one part of it, as a `ChatResult`. Raise `RequestError` (500) for other types."""
    if isinstance(value, ChatResult):
        return value
    if isinstance(value, str):
        return ChatResult(text=value)
    message = f"the function returned a {type(value).__name__}, must be str or dilu.ChatResult"
    raise RequestError(500, "unusable-result", message)
