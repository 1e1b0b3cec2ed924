"""`POST /v1/embeddings` of functions with `openai="embeddings"`: a text is an item, its vector the result.

The texts of one request are admitted together or refused together. Tokens are not counted: `usage` is 0. `dimensions`
and tokens in place of text are refused, because they do not reach the handler.
"""

from __future__ import annotations

import base64
import struct
from typing import Annotated, Any, Literal

import msgspec

from dilu.errors import RequestError
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.codec import encode_result, item_decoder
from dilu.runtime.protocols.openai_common import check_model, error_body, parse, refused

_USAGE = {"prompt_tokens": 0, "total_tokens": 0}


class _EmbeddingsBody(msgspec.Struct):
    model: str
    input: str | Annotated[list[Any], msgspec.Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Any = None


_decode_body = item_decoder(_EmbeddingsBody)


def routes(prefix: str) -> list[CallRoute]:
    """Return the route of one function."""
    return [CallRoute(method="POST", path=f"{prefix}/embeddings", answer=answer_embeddings, error_body=error_body)]


async def answer_embeddings(call: Call) -> None:
    """Run the function on each text and answer with the vectors."""
    name = call.service.definition.spec.name
    body: _EmbeddingsBody = parse(_decode_body, await call.body())
    check_model(body.model, name)
    if body.dimensions is not None:
        raise refused("dimensions", "vectors of this model have a fixed size; leave it out")
    if isinstance(body.input, list):
        call.check_count(len(body.input))
    results = await call.run([call.decode(text) for text in _texts(body.input)])
    encode = base64_vector if body.encoding_format == "base64" else plain_vector
    data = [
        {"object": "embedding", "index": index, "embedding": encode(result)} for index, result in enumerate(results)
    ]
    await call.answer(encode_result({"object": "list", "data": data, "model": name, "usage": _USAGE}))


def _texts(given: str | list[Any]) -> list[str]:
    if isinstance(given, str):
        return [given]
    for index, text in enumerate(given):
        if isinstance(text, (int, list)) and not isinstance(text, bool):
            raise refused("input", "tokens are not supported, because the function has its own tokenizer; send text")
        if not isinstance(text, str):
            raise refused(f"input[{index}]", f"must be text, is {type(text).__name__}", "invalid-type")
    return given


def plain_vector(result: Any) -> list[Any]:
    """Return a vector as a list of numbers."""
    vector = result.tolist() if hasattr(result, "tolist") else result
    if not isinstance(vector, (list, tuple)):
        raise _unusable(f"has the type {type(result).__name__}")
    vector = [number.tolist() if hasattr(number, "tolist") else number for number in vector]
    if not all(type(number) in (float, int) for number in vector):
        raise _unusable("has elements that are not numbers")
    return vector


def base64_vector(result: Any) -> str:
    """Return a vector as Base64 of 32-bit little-endian floats, which OpenAI's client requests by default."""
    vector = plain_vector(result)
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (OverflowError, struct.error):
        raise _unusable("has a number outside the range of 32-bit floats") from None


def _unusable(what: str) -> RequestError:
    return RequestError(500, "unusable-result", f"the function's result {what}; an embedding is a list of numbers")
