"""CloudEvents in the OpenAPI document, as further content of the plain routes (static/cloud_events.json)."""

from __future__ import annotations

from typing import Any

import msgspec

from dilu.events import SPEC_VERSION
from dilu.handlers import FunctionDefinition
from dilu.runtime.openapi.parts import error_responses, plain_example
from dilu.runtime.openapi.schema_components import Schema, SchemaComponents
from dilu.runtime.openapi.static_parts import filled, static_parts, status_texts
from dilu.runtime.protocols.event_messages import STRUCTURED_JSON

_CONTENT_TYPE = STRUCTURED_JSON.decode()


def event_operation(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    """Return what CloudEvents add to the operation of a plain route."""
    static = static_parts("cloud_events")
    operation: Schema = filled(static["operation"], name=definition.spec.name)
    request = operation["requestBody"]["content"][_CONTENT_TYPE]
    _add_item(request["schema"], definition, components)  # the item's type gets its name before the result's
    example = plain_example(definition)
    if example is not None:
        event = {"specversion": SPEC_VERSION, "id": "1", "source": "/docs", "type": "example", "data": example[0]}
        request["example"] = event
    result = components.result_schema(definition.result_type)
    reply = operation["responses"]["200"]["content"][_CONTENT_TYPE]["schema"]
    reply["properties"]["data"] = {"type": "array", "items": result} if definition.is_streaming else result
    operation["responses"].update(error_responses(errors=status_texts(static["errors"])))
    return operation


def _add_item(event: Schema, definition: FunctionDefinition, components: SchemaComponents) -> None:
    event["properties"]["data"] = components.item_schema(definition.item_type)
    if _accepts_null(definition.item_type):  # then an event without data is an item, too
        event["oneOf"].append({"not": {"anyOf": list(event["oneOf"])}})


def _accepts_null(item_type: Any) -> bool:
    try:
        msgspec.convert(None, item_type)
    except msgspec.ValidationError:
        return False
    except Exception:  # a type that is not checked: its handler gets any value
        return True
    return True
