"""The OpenAPI 3.1 document of a replica: its functions' routes, their types, and the probes."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from dilu.handlers import FunctionDefinition
from dilu.runtime.openapi.parts import (
    ERROR_SCHEMA,
    HEADERS,
    JSON,
    PARAMETERS,
    call_parameters,
    error_responses,
    plain_example,
    result_headers,
)
from dilu.runtime.openapi.schema_components import Schema, SchemaComponents
from dilu.spec import to_mapping

_EVENTS = "text/event-stream"


def document_components(schemas: Mapping[str, Schema] | None = None) -> SchemaComponents:
    """The components that a document begins with: the error, and these."""
    return SchemaComponents({"Error": ERROR_SCHEMA, **(schemas or {})})


def plain_path(definition: FunctionDefinition, definitions: Sequence[FunctionDefinition]) -> str:
    """Where a function is called, among those that one replica serves."""
    return "/" if len(definitions) == 1 else f"/{definition.spec.name}"


def openapi_document(
    definitions: Sequence[FunctionDefinition],
    *,
    title: str,
    version: str,
    extra_paths: Mapping[str, Schema] | None = None,
    extra_schemas: Mapping[str, Schema] | None = None,
    components: SchemaComponents | None = None,
) -> Schema:
    """The OpenAPI 3.1 document of a replica that serves `definitions`, as plain values for JSON.

    One function is `POST /`, several are `POST /NAME` each. `extra_paths` are path items of other protocols; where
    one of them is on a path that is there already, its methods, content types and statuses are added.
    `extra_schemas` are components that they refer to; `components`, from `document_components`, are used in their
    place where the extra paths state the functions' types, too. Whatever these types are, this raises nothing.
    """
    components = components or document_components(extra_schemas)
    paths: dict[str, Schema] = {}
    for definition in definitions:
        paths[plain_path(definition, definitions)] = {"post": _operation(definition, components)}
    for path, item in (*(extra_paths or {}).items(), *_PROBES.items()):
        paths[path] = _added(paths.get(path, {}), item)
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": "."}],  # where the document is: right behind a gateway that adds a prefix, too
        "paths": paths,
        "components": {"schemas": components.schemas, "parameters": dict(PARAMETERS), "headers": dict(HEADERS)},
        "tags": [_tag(definition) for definition in definitions],
    }
    return copy.deepcopy(document)  # its parts stand in this module


def _operation(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    name = definition.spec.name
    content: Schema = {"schema": components.item_schema(definition.item_type)}
    example = plain_example(definition)
    if example is not None:
        content["example"] = example[0]
    return {
        "operationId": name,
        "summary": f"Call {name}",
        "tags": [name],
        "parameters": call_parameters(),
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": {
            "200": _result_response(definition, components),
            **error_responses(),
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


def _result_response(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    result = components.result_schema(definition.result_type)
    response: Schema = {"headers": result_headers()}
    if not definition.is_streaming:
        return {**response, "description": "The result.", "content": {JSON: {"schema": result}}}
    # Of no type: some readers take it for the whole stream, others for one event.
    events = {"description": "Server-sent events; the data of each one is a JSON value."}
    content = {
        _EVENTS: {"schema": events, "x-data-schema": result},
        JSON: {"schema": {"type": "array", "items": result}},
    }
    text = "The parts as they are made, then an event `done`; all of them in one list if you accept JSON only."
    return {**response, "description": text, "content": content}


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
    JSON: {
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
    "/v1/stats": _probe("stats", "The replica's numbers of the last second.", {JSON: {"schema": {"type": "object"}}}),
}
