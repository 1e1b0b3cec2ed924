"""The OpenAPI 3.1 document of a replica: its functions' routes, their types, and the probes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dilu.handlers import FunctionDefinition
from dilu.runtime.codec import encode_result
from dilu.runtime.schema_components import COMPONENT, Schema, SchemaComponents
from dilu.spec import names, to_mapping

_JSON = "application/json"
_EVENTS = "text/event-stream"
_LONGEST_EXAMPLE_BYTES = 64 * 1024

# What a call may be answered with beside its result, and why.
_CALL_ERRORS: Mapping[int, str] = {
    400: "The body is not JSON that can be read, or it is empty.",
    408: "The body came too slowly.",
    413: "The body is larger than this function takes.",
    422: "JSON of another type than the function takes, or a value that it refuses; `field` names the place.",
    429: "Too many requests wait, or this one could not meet its deadline. Nothing was executed.",
    431: "The headers are too many or too large.",
    500: "The function failed; its log says more under the request's id.",
    503: "The replica is starting or stopping. Nothing was executed.",
    504: "The deadline passed before the result was there.",
}
_REFUSALS = frozenset({429, 503})
# What is refused before the request is understood: plain text.
_PLAIN_ERRORS = frozenset({431})

_ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "A stable short word for programs."},
                "message": {"type": "string", "description": "One line for people."},
                "field": {
                    "type": "string",
                    "description": "The JSON path of the value at fault, such as `$.texts[0]`.",
                },
                "request_id": {"type": "string", "description": "As in the header X-Request-Id, and in the logs."},
            },
            "required": ["code", "message", "request_id"],
        }
    },
    "required": ["error"],
}

_PARAMETERS: Mapping[str, Schema] = {
    "RequestId": {
        "name": names.HEADER_REQUEST_ID,
        "in": "header",
        "description": "An id of your own, at most 128 printable ASCII characters; it comes back and is in the logs.",
        "schema": {"type": "string", "maxLength": 128},
    },
    "RequestTimeout": {
        "name": names.HEADER_TIMEOUT_MS,
        "in": "header",
        "description": "How long you wait. A request that cannot be done in this time is refused at once.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "Priority": {
        "name": names.HEADER_PRIORITY,
        "in": "header",
        "description": "RFC 9218: u=0 is the most urgent, u=7 the least.",
        "schema": {"type": "string", "default": "u=3", "examples": ["u=1"]},
    },
}
_HEADERS: Mapping[str, Schema] = {
    "RequestId": {"description": "The request's id.", "schema": {"type": "string"}},
    "ServerTiming": {
        "description": "Milliseconds in the queue, in the handler and in all, and the size of the batch.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {"description": "Seconds to wait before the next try.", "schema": {"type": "integer", "minimum": 1}},
    "Refused": {
        "description": "Nothing of the request was executed, so it is safe to send it elsewhere. Says why.",
        "schema": {"type": "string"},
    },
}


def openapi_document(
    definitions: Sequence[FunctionDefinition],
    *,
    title: str,
    version: str,
    extra_paths: Mapping[str, Schema] | None = None,
    extra_schemas: Mapping[str, Schema] | None = None,
) -> Schema:
    """The OpenAPI 3.1 document of a replica that serves `definitions`, as plain values for JSON.

    One function is `POST /`, several are `POST /NAME` each. `extra_paths` are path items of other protocols; where
    one of them is on a path that is there already, its methods, content types and statuses are added.
    `extra_schemas` are components that they refer to. Whatever types the handlers state, this raises nothing.
    """
    components = SchemaComponents({"Error": _ERROR_SCHEMA, **(extra_schemas or {})})
    paths: dict[str, Schema] = {}
    for definition in definitions:
        path = "/" if len(definitions) == 1 else f"/{definition.spec.name}"
        paths[path] = {"post": _operation(definition, components)}
    for path, item in (*(extra_paths or {}).items(), *_PROBES.items()):
        paths[path] = _added(paths.get(path, {}), item)
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": "."}],  # where the document is: right behind a gateway that adds a prefix, too
        "paths": paths,
        "components": {"schemas": components.schemas, "parameters": dict(_PARAMETERS), "headers": dict(_HEADERS)},
        "tags": [_tag(definition) for definition in definitions],
    }
    return copy.deepcopy(document)  # its parts stand in this module


def _operation(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    name = definition.spec.name
    content: Schema = {"schema": components.item_schema(definition.item_type)}
    example = _example(definition)
    if example is not None:
        content["example"] = example[0]
    return {
        "operationId": name,
        "summary": f"Call {name}",
        "tags": [name],
        "parameters": [{"$ref": f"#/components/parameters/{parameter}"} for parameter in _PARAMETERS],
        "requestBody": {"required": True, "content": {_JSON: content}},
        "responses": {
            "200": _result_response(definition, components),
            **{str(status): _error_response(status, text) for status, text in _CALL_ERRORS.items()},
        },
    }


def _tag(definition: FunctionDefinition) -> Schema:
    tag: Schema = {"name": definition.spec.name, "x-dilu": to_mapping(definition.spec)}
    text = _description(definition)
    return {**tag, "description": text} if text else tag


def _description(definition: FunctionDefinition) -> str:
    """What the author says of the function: the class's text and its method's."""
    texts = [definition.target.__doc__]
    if definition.is_class:
        texts.append(getattr(getattr(definition.target, "predict", None), "__doc__", None))
    return "\n\n".join(inspect.cleandoc(text) for text in texts if isinstance(text, str) and text.strip())


def _example(definition: FunctionDefinition) -> tuple[Any] | None:
    """The warm-up example as plain JSON values, if there is one that JSON can state in bearable length."""
    if not definition.options.has_example:
        return None
    try:
        encoded = encode_result(definition.options.example)  # the example is the user's: anything may happen
        return (msgspec.json.decode(encoded),) if len(encoded) <= _LONGEST_EXAMPLE_BYTES else None
    except Exception:
        return None


def _result_response(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    result = components.result_schema(definition.result_type)
    headers = {names.HEADER_REQUEST_ID: _header("RequestId"), names.HEADER_SERVER_TIMING: _header("ServerTiming")}
    response: Schema = {"headers": headers}
    if not definition.is_streaming:
        return {**response, "description": "The result.", "content": {_JSON: {"schema": result}}}
    schema = {"type": "string", "description": "Server-sent events; the data of each one is a JSON value."}
    content = {
        _EVENTS: {"schema": schema, "x-data-schema": result},
        _JSON: {"schema": {"type": "array", "items": result}},
    }
    text = "The parts as they are made, then an event `done`; all of them in one list if you accept JSON only."
    return {**response, "description": text, "content": content}


def _error_response(status: int, text: str) -> Schema:
    if status in _PLAIN_ERRORS:
        return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
    headers: Schema = {names.HEADER_REQUEST_ID: _header("RequestId")}
    if status in _REFUSALS:
        headers[names.HEADER_RETRY_AFTER] = _header("RetryAfter")
        headers[names.HEADER_REFUSED] = _header("Refused")
    return {"description": text, "headers": headers, "content": {_JSON: {"schema": {"$ref": COMPONENT + "Error"}}}}


def _header(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}


def _added(item: Schema, extra: Mapping[str, Any]) -> Schema:
    """The path item with what the extra one has more: methods, and for a method content types and statuses."""
    merged = dict(item)
    for key, value in extra.items():
        ours = merged.get(key)
        is_content_type = "/" in key  # what it holds is one thing
        if isinstance(ours, Mapping) and isinstance(value, Mapping) and not is_content_type:
            merged[key] = _added(dict(ours), value)
        elif key not in merged:
            merged[key] = value
    return merged


def _probe(name: str, summary: str, content: Schema, **others: Schema) -> Schema:
    responses: Schema = {"200": {"description": summary, "content": content}}
    for status, response in others.items():
        responses[status.removeprefix("status_")] = response
    return {"get": {"operationId": name, "summary": summary, "tags": ["probes"], "responses": responses}}


_STATE_CONTENT: Schema = {
    _JSON: {
        "schema": {
            "type": "object",
            "properties": {"state": {"enum": ["starting", "ready", "draining"]}},
            "required": ["state"],
        }
    }
}
_PROBES: Mapping[str, Schema] = {
    "/healthz": _probe("healthz", "The process is alive.", _STATE_CONTENT),
    "/readyz": _probe(
        "readyz",
        "The model is loaded and warm, and the replica is not stopping.",
        _STATE_CONTENT,
        status_503={"description": "Not ready: starting or draining.", "content": _STATE_CONTENT},
    ),
    "/metrics": _probe("metrics", "Prometheus metrics.", {"text/plain": {"schema": {"type": "string"}}}),
    "/v1/stats": _probe("stats", "The replica's numbers of the last second.", {_JSON: {"schema": {"type": "object"}}}),
}
