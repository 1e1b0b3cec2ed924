"""OpenAI's routes in the OpenAPI document, of the functions that declare them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dilu.handlers import OPENAI_CHAT, OPENAI_EMBEDDINGS, FunctionDefinition
from dilu.runtime.openapi.parts import (
    CALL_ERRORS,
    HEAD_ERRORS,
    JSON,
    call_parameters,
    closed,
    error_responses,
    reference,
    result_headers,
)
from dilu.runtime.openapi.schema_components import Schema
from dilu.runtime.protocols.openai_common import PREFIX, route_prefix

_EVENTS = "text/event-stream"
_TAG = "OpenAI"
_ERRORS = {
    **CALL_ERRORS,
    400: "The body cannot be read, or a field has a value that is not served; `param` names it.",
    404: "`model` is not this function.",
    422: "The function refuses a value.",
}
_MOST_ITEMS = {413: "The body is larger than this function takes, or has more texts than can wait."}

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_LIMIT: Schema = {"type": ["integer", "null"], "minimum": 1, "maximum": 2**31 - 1}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_USAGE = closed(prompt_tokens=_COUNT, completion_tokens=_COUNT, total_tokens=_COUNT)
_ANSWER = closed(role={"const": "assistant"}, content=_TEXT)
_CHOICE = closed(index={"const": 0}, message=_ANSWER, logprobs={"type": "null"}, finish_reason=_TEXT)
_DELTA: Schema = {"type": "object", "properties": {"role": {"const": "assistant"}, "content": _TEXT}}
_CHUNK_CHOICE = closed(
    index={"const": 0}, delta=_DELTA, logprobs={"type": "null"}, finish_reason={"type": ["string", "null"]}
)
_COMMON: Mapping[str, Schema] = {"id": _TEXT, "created": _COUNT, "model": _TEXT}
_CHUNK = closed(**_COMMON, object={"const": "chat.completion.chunk"}, choices=_list_of(_CHUNK_CHOICE))
_VECTOR: Schema = {
    "anyOf": [_list_of(_NUMBER), {"type": "string", "contentEncoding": "base64"}],
    "description": "Numbers, or Base64 of 32-bit little-endian floats, as `encoding_format` asks for.",
}

OPENAI_SCHEMAS: Mapping[str, Schema] = {
    "OpenAIError": closed(
        error=closed(
            message={"type": "string", "description": "One line for people."},
            type={"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
            param={"type": ["string", "null"], "description": "The field at fault."},
            code={"type": "string", "description": "A stable short word for programs."},
        )
    ),
    "OpenAIModel": closed(id=_TEXT, object={"const": "model"}, created=_COUNT, owned_by=_TEXT),
    "OpenAIModels": closed(object={"const": "list"}, data=_list_of(reference("OpenAIModel"))),
    "OpenAIEmbeddings": closed(
        object={"const": "list"},
        data=_list_of(closed(object={"const": "embedding"}, index=_COUNT, embedding=_VECTOR)),
        model=_TEXT,
        usage={**closed(prompt_tokens=_COUNT, total_tokens=_COUNT), "description": "Not counted: 0."},
    ),
    "OpenAIMessage": {
        "type": "object",
        "properties": {
            "role": {"enum": ["user", "system", "developer", "assistant", "tool", "function"]},
            "content": {
                "anyOf": [_TEXT, {"type": "null"}, _list_of(closed(type={"const": "text"}, text=_TEXT))],
                "description": "Text, or parts of text.",
            },
            "name": {"type": ["string", "null"]},
        },
        "required": ["role"],
    },
    "OpenAICompletion": closed(**_COMMON, object={"const": "chat.completion"}, choices=_list_of(_CHOICE), usage=_USAGE),
    "OpenAIChunk": {**_CHUNK, "properties": {**_CHUNK["properties"], "usage": _USAGE}},
}


def openai_paths(definitions: Sequence[FunctionDefinition]) -> dict[str, Schema]:
    """The path items of all functions that declare OpenAI's routes, and of the list of them."""
    paths: dict[str, Schema] = {}
    for definition in definitions:
        prefix = route_prefix(definition, definitions)
        if definition.options.openai == OPENAI_EMBEDDINGS:
            paths[f"{prefix}/embeddings"] = {"post": _embeddings(definition.spec.name)}
        elif definition.options.openai == OPENAI_CHAT:
            paths[f"{prefix}/chat/completions"] = {"post": _chat(definition.spec.name)}
    return {**paths, **_model_paths(definitions)}


def _model_paths(definitions: Sequence[FunctionDefinition]) -> dict[str, Schema]:
    names = [definition.spec.name for definition in definitions if definition.options.openai is not None]
    if not names:
        return {}
    paths = {f"{PREFIX}/models": _page("v1.models", "The functions that speak OpenAI's protocol.", "OpenAIModels")}
    for name in names:
        paths[f"{PREFIX}/models/{name}"] = _page(f"v1.{name}.model", f"{name} as a model.", "OpenAIModel")
    return paths


def _page(id_: str, text: str, schema: str) -> Schema:
    content = {JSON: {"schema": reference(schema)}}
    responses = {
        "200": {"description": text, "headers": result_headers(), "content": content},
        **error_responses(errors=HEAD_ERRORS),
    }
    return {"get": {"operationId": id_, "summary": text, "tags": [_TAG], "responses": responses}}


def _embeddings(name: str) -> Schema:
    request: Schema = {
        "type": "object",
        "properties": {
            "model": {"const": name},
            "input": {"anyOf": [_TEXT, {**_list_of(_TEXT), "minItems": 1}], "description": "One text or several."},
            "encoding_format": {"enum": ["float", "base64", None], "default": "float"},
            "dimensions": {"type": "null", "description": "Refused: this model has one size of vectors."},
        },
        "required": ["model", "input"],
    }
    example = {"model": name, "input": ["a text", "another"]}
    return {
        **_operation(f"v1.{name}.embeddings", f"Embed texts with {name}", request, example),
        "responses": {
            "200": _answer("One vector for each text.", {JSON: {"schema": reference("OpenAIEmbeddings")}}),
            **error_responses("OpenAIError", {**_ERRORS, **_MOST_ITEMS}),
        },
    }


def _chat(name: str) -> Schema:
    example = {"model": name, "messages": [{"role": "user", "content": "Hello"}]}
    events = {"description": "Server-sent events, the last one `[DONE]`."}  # of no type, as on the plain routes
    content = {
        JSON: {"schema": reference("OpenAICompletion")},
        _EVENTS: {"schema": events, "x-data-schema": reference("OpenAIChunk")},
    }
    text = "The answer; with `stream` its pieces as they are made."
    return {
        **_operation(f"v1.{name}.chat", f"Chat with {name}", _chat_request(name), example),
        "responses": {"200": _answer(text, content), **error_responses("OpenAIError", _ERRORS)},
    }


def _chat_request(name: str) -> Schema:
    properties: dict[str, Schema] = {
        "model": {"const": name},
        "messages": {**_list_of(reference("OpenAIMessage")), "minItems": 1},
        "max_completion_tokens": _LIMIT,
        "max_tokens": {**_LIMIT, "description": "The older name of `max_completion_tokens`."},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "stop": {"anyOf": [_TEXT, _list_of(_TEXT), {"type": "null"}]},
        "seed": {"type": ["integer", "null"], "minimum": -(2**63), "maximum": 2**63 - 1},
        "stream": {"type": ["boolean", "null"]},
        "stream_options": {
            "type": ["object", "null"],
            "properties": {"include_usage": {"type": ["boolean", "null"]}},
        },
        "n": {"enum": [1, None], "description": "One answer is made."},
        "response_format": {**closed(type={"const": "text"}), "type": ["object", "null"]},
        "logprobs": {"enum": [False, None], "description": "Not supported."},
        "tools": {"type": ["array", "null"], "maxItems": 0, "description": "Not supported."},
        "functions": {"type": ["array", "null"], "maxItems": 0, "description": "Not supported."},
    }
    return {"type": "object", "properties": properties, "required": ["model", "messages"]}


def _operation(id_: str, summary: str, request: Schema, example: Schema) -> Schema:
    return {
        "operationId": id_,
        "summary": summary,
        "tags": [_TAG],
        "parameters": call_parameters(),
        "requestBody": {"required": True, "content": {JSON: {"schema": request, "example": example}}},
    }


def _answer(text: str, content: Schema) -> Schema:
    return {"description": text, "headers": result_headers(), "content": content}
