"""The parts that the descriptions of all calls share: request and response headers, and errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dilu.handlers import FunctionDefinition
from dilu.runtime.codec import encode_result
from dilu.runtime.openapi.schema_components import COMPONENT, Schema
from dilu.spec import names

JSON = "application/json"
TOO_MANY_HEADERS = "There are too many headers, or they are too large."
_MAX_EXAMPLE_BYTES = 64 * 1024

# The errors of a call, by status.
CALL_ERRORS: Mapping[int, str] = {
    400: "The body is not valid JSON, or it is empty.",
    408: "The body came too slowly.",
    413: "The body is larger than the function accepts.",
    422: "The JSON has another type than the function accepts, or an invalid value; `field` names the place.",
    429: "The queue is full, or the request would miss its deadline. Nothing was executed.",
    431: TOO_MANY_HEADERS,
    500: "The function failed; its log has the details under the request's id.",
    503: "The replica is starting or stopping. Nothing was executed.",
    504: "The deadline passed before the result was ready.",
}
_REFUSALS = frozenset({429, 503})
# Errors that are sent before the request is parsed, as plain text.
_PLAIN_ERRORS = frozenset({431})
# The errors of every request, whatever its path.
HEAD_ERRORS: Mapping[int, str] = {431: TOO_MANY_HEADERS}

ERROR_SCHEMA: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "description": "A stable short word for programs."},
                "message": {"type": "string", "description": "One line for people."},
                "field": {
                    "type": "string",
                    "description": "The JSON path of the invalid value, such as `$.texts[0]`.",
                },
                "request_id": {"type": "string", "description": "The id in the header X-Request-Id and in the logs."},
            },
            "required": ["code", "message", "request_id"],
        }
    },
    "required": ["error"],
}

PARAMETERS: Mapping[str, Schema] = {
    "RequestId": {
        "name": names.HEADER_REQUEST_ID,
        "in": "header",
        "description": "An id of your own; the answer and the logs contain it. An id that is not printable ASCII, or "
        "is longer than 128 characters, is replaced.",
        "schema": {"type": "string"},
    },
    "RequestTimeout": {
        "name": names.HEADER_TIMEOUT_MS,
        "in": "header",
        "description": "How long you wait, in milliseconds. A request that would take longer is refused at once.",
        "schema": {"type": "number", "exclusiveMinimum": 0},
    },
    "Priority": {
        "name": names.HEADER_PRIORITY,
        "in": "header",
        "description": "RFC 9218: u=0 is the most urgent, u=7 the least.",
        "schema": {"type": "string", "default": "u=3", "examples": ["u=1"]},
    },
}
HEADERS: Mapping[str, Schema] = {
    "RequestId": {"description": "The request's id.", "schema": {"type": "string"}},
    "ServerTiming": {
        "description": "Milliseconds in the queue, in the handler and in total, and the size of the batch.",
        "schema": {"type": "string"},
    },
    "RetryAfter": {
        "description": "Seconds to wait before the next attempt.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "Refused": {
        "description": "Why the request was refused. Nothing of it was executed, so it is safe to send it elsewhere.",
        "schema": {"type": "string"},
    },
}


def closed(**properties: Schema) -> Schema:
    """Return the schema of an object that must have all of these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def reference(component: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": COMPONENT + component}


def call_parameters() -> list[Schema]:
    """Return the request headers of every call."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS]


def result_headers() -> Schema:
    """Return the headers of every result."""
    return {names.HEADER_REQUEST_ID: _header("RequestId"), names.HEADER_SERVER_TIMING: _header("ServerTiming")}


def error_responses(schema: str = "Error", errors: Mapping[int, str] = CALL_ERRORS) -> dict[str, Schema]:
    """Return the responses for these errors by status, whose body is the component `schema`."""
    return {str(status): _error_response(status, errors[status], schema) for status in sorted(errors)}


def plain_example(definition: FunctionDefinition) -> tuple[Any] | None:
    """Return the warm-up example as plain JSON values; None if there is none, or if JSON cannot hold it in 64 KiB."""
    if not definition.options.has_example:
        return None
    try:
        encoded = encode_result(definition.options.example)  # user code may raise anything
        return (msgspec.json.decode(encoded),) if len(encoded) <= _MAX_EXAMPLE_BYTES else None
    except Exception:
        return None


def _error_response(status: int, text: str, schema: str) -> Schema:
    if status in _PLAIN_ERRORS:
        return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
    headers: Schema = {names.HEADER_REQUEST_ID: _header("RequestId")}
    if status in _REFUSALS:
        headers[names.HEADER_RETRY_AFTER] = _header("RetryAfter")
        headers[names.HEADER_REFUSED] = _header("Refused")
    return {"description": text, "headers": headers, "content": {JSON: {"schema": reference(schema)}}}


def _header(name: str) -> Schema:
    return {"$ref": f"#/components/headers/{name}"}
