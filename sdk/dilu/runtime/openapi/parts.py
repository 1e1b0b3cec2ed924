"""What every call's description has: the headers that it takes and gives, and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dilu.handlers import FunctionDefinition
from dilu.runtime.codec import encode_result
from dilu.runtime.openapi.schema_components import COMPONENT, Schema
from dilu.spec import names

JSON = "application/json"
TOO_MANY_HEADERS = "The headers are too many or too large."
_MAX_EXAMPLE_BYTES = 64 * 1024

# What a call may be answered with beside its result, and why.
CALL_ERRORS: Mapping[int, str] = {
    400: "The body is not JSON that can be read, or it is empty.",
    408: "The body came too slowly.",
    413: "The body is larger than this function takes.",
    422: "JSON of another type than the function takes, or a value that it refuses; `field` names the place.",
    429: "Too many requests wait, or this one could not meet its deadline. Nothing was executed.",
    431: TOO_MANY_HEADERS,
    500: "The function failed; its log says more under the request's id.",
    503: "The replica is starting or stopping. Nothing was executed.",
    504: "The deadline passed before the result was there.",
}
_REFUSALS = frozenset({429, 503})
# What is refused before the request is understood: plain text.
_PLAIN_ERRORS = frozenset({431})
# What every request may be answered with, whatever it asks for.
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
                    "description": "The JSON path of the value at fault, such as `$.texts[0]`.",
                },
                "request_id": {"type": "string", "description": "As in the header X-Request-Id, and in the logs."},
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
        "description": "An id of your own; it comes back and is in the logs. What is not printable ASCII, or longer "
        "than 128 characters, is passed over and replaced.",
        "schema": {"type": "string"},
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
HEADERS: Mapping[str, Schema] = {
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


def closed(**properties: Schema) -> Schema:
    """An object that has all of these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def reference(component: str) -> Schema:
    """The schema of that name."""
    return {"$ref": COMPONENT + component}


def call_parameters() -> list[Schema]:
    """The headers that every call takes."""
    return [{"$ref": f"#/components/parameters/{name}"} for name in PARAMETERS]


def result_headers() -> Schema:
    """The headers that come with every result."""
    return {names.HEADER_REQUEST_ID: _header("RequestId"), names.HEADER_SERVER_TIMING: _header("ServerTiming")}


def error_responses(schema: str = "Error", errors: Mapping[int, str] = CALL_ERRORS) -> dict[str, Schema]:
    """The answers to these errors by status, in the form of that component."""
    return {str(status): _error_response(status, errors[status], schema) for status in sorted(errors)}


def plain_example(definition: FunctionDefinition) -> tuple[Any] | None:
    """The warm-up example as plain JSON values, if there is one that JSON can state in bearable length."""
    if not definition.options.has_example:
        return None
    try:
        encoded = encode_result(definition.options.example)  # the example is the user's: anything may happen
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
