"""CloudEvents in the OpenAPI document: what the plain routes take and give beside plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from dilu.events import SPEC_VERSION
from dilu.handlers import FunctionDefinition
from dilu.runtime.openapi.parts import error_responses, plain_example
from dilu.runtime.openapi.schema_components import Schema, SchemaComponents
from dilu.runtime.protocols.event_attributes import JSON
from dilu.runtime.protocols.event_messages import STRUCTURED_JSON

_CONTENT_TYPE = STRUCTURED_JSON.decode()
_NOTE = (
    "Takes CloudEvents 1.0, too, and answers them with an event. In structured mode the event is the body, of the "
    f"type `{_CONTENT_TYPE}`. In binary mode the body is the event's data, `Content-Type` its type, and the other "
    "attributes are headers: `ce-specversion`, `ce-id`, `ce-source` and `ce-type` are needed. Batches are refused."
)
_ERRORS = {415: "A CloudEvent in another form than one event in JSON, or in another encoding than UTF-8."}

_PRINTABLE = "[^\\x00-\\x1f\\x7f-\\x9f]"
_TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TEXT: Schema = {"type": "string", "pattern": f"^{_PRINTABLE}+$"}
_SPEC_VERSION: Schema = {"const": SPEC_VERSION}
# Of what the attributes may hold, `event_attributes` has the rules.
_ATTRIBUTES: Mapping[str, Schema] = {
    "specversion": _SPEC_VERSION,
    "id": _TEXT,
    "source": {"type": "string", "format": "uri-reference", "minLength": 1},
    "type": _TEXT,
    "subject": _TEXT,
    "time": {"type": "string", "format": "date-time"},
    "dataschema": {"type": "string", "format": "uri"},
    "datacontenttype": {"type": "string", "pattern": f"^{_TOKEN}/{_TOKEN}(;{_PRINTABLE}*)?$", "default": JSON},
}
_EXTENSION: Schema = {
    "anyOf": [
        {"type": "string", "pattern": f"^{_PRINTABLE}*$"},
        {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1},
        {"type": ["boolean", "null"]},
    ]
}

_REPLY_HEADERS: Mapping[str, Schema] = {
    f"ce-{name}": {"description": f"Of the answer to an event in binary mode: {what}.", "schema": {"type": "string"}}
    for name, what in {
        "specversion": SPEC_VERSION,
        "id": "a new id",
        "source": "the function",
        "type": "the kind of its results",
        "causationid": "the id of the event that is answered",
    }.items()
}


def event_operation(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    """What CloudEvents add to the operation of a plain route."""
    content = _request_content(definition, components)  # the item's type has its name before the result's, as there
    result = components.result_schema(definition.result_type)
    data = {"type": "array", "items": result} if definition.is_streaming else result
    return {
        "description": _NOTE,
        "requestBody": {"content": {_CONTENT_TYPE: content}},
        "responses": {
            "200": {
                "headers": dict(_REPLY_HEADERS),
                "content": {_CONTENT_TYPE: {"schema": _reply_schema(definition.spec.name, data)}},
            },
            **error_responses(errors=_ERRORS),
        },
    }


def _request_content(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    content: Schema = {"schema": _event_schema(definition, components)}
    example = plain_example(definition)
    if example is not None:
        event = {"specversion": SPEC_VERSION, "id": "1", "source": "/docs", "type": "example", "data": example[0]}
        content["example"] = event
    return content


def _event_schema(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    base64: dict[str, Any] = {
        "type": "string",
        "contentEncoding": "base64",
        "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$",
        "description": "In the place of `data`: bytes, which `datacontenttype` says how to read.",
    }
    alternatives: list[Schema] = [{"required": ["data"]}, {"required": ["data_base64"]}]
    if _takes_null(definition.item_type):  # then nothing is needed
        alternatives.append({"not": {"anyOf": list(alternatives)}})
    data = components.item_schema(definition.item_type)
    return {
        "type": "object",
        "description": "One CloudEvent. Its data is the function's item.",
        "properties": {**_ATTRIBUTES, "data": data, "data_base64": base64},
        "required": ["specversion", "id", "source", "type"],
        "propertyNames": {"pattern": "^([a-z0-9]+|data_base64)$"},
        "additionalProperties": _EXTENSION,
        "oneOf": alternatives,
    }


def _takes_null(item_type: Any) -> bool:
    """Whether an event without data is an item."""
    try:
        msgspec.convert(None, item_type)
    except msgspec.ValidationError:
        return False
    except Exception:  # a type that is not checked: its handler gets whatever comes
        return True
    return True


def _reply_schema(name: str, data: Schema) -> Schema:
    properties: dict[str, Schema] = {
        "specversion": _SPEC_VERSION,
        "id": _TEXT,
        "source": {"const": f"/functions/{name}"},
        "type": {"const": f"dev.dilu.{name}.result"},
        "causationid": {**_TEXT, "description": "The id of the event that is answered."},
        "datacontenttype": {"const": JSON},
        "data": data,
    }
    return {"type": "object", "properties": properties, "required": list(properties)}
