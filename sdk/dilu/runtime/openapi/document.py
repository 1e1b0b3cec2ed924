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
    """Return the components of a new document: the error, and `schemas`."""
    return SchemaComponents({"Error": ERROR_SCHEMA, **(schemas or {})})


def plain_path(definition: FunctionDefinition, definitions: Sequence[FunctionDefinition]) -> str:
    """Return the path of a function's plain route, among the functions of one replica."""
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
    """Return the OpenAPI 3.1 document of a replica that serves `definitions`, as plain values for JSON.

    One function is `POST /`, several are `POST /NAME` each. `extra_paths` are path items of other protocols; if a
    path exists already, their methods, content types and statuses are added to it. `extra_schemas` are components
    that they refer to. `components`, from `document_components`, replace `extra_schemas` if the extra paths contain
    the functions' types, too. Raise nothing, whatever these types are.
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
        "servers": [{"url": "."}],  # relative to the document, so that it is right behind a gateway that adds a prefix
        "paths": paths,
        "components": {"schemas": components.schemas, "parameters": dict(PARAMETERS), "headers": dict(HEADERS)},
        "tags": [_tag(definition) for definition in definitions],
    }
    return copy.deepcopy(document)  # its parts are shared constants


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
    """Return the docstrings of the class and its method, or of the function."""
    texts = [definition.target.__doc__]
    if definition.is_class:
        texts.append(getattr(getattr(definition.target, "predict", None), "__doc__", None))
    return "\n\n".join(inspect.cleandoc(text) for text in texts if isinstance(text, str) and text.strip())


def _result_response(definition: FunctionDefinition, components: SchemaComponents) -> Schema:
    result = components.result_schema(definition.result_type)
    response: Schema = {"headers": result_headers()}
    if not definition.is_streaming:
        return {**response, "description": "The result.", "content": {JSON: {"schema": result}}}
    # Without a type, because some readers apply it to the whole stream and others to one event.
    events = {"description": "Server-sent events; the data of each one is a JSON value."}
    content = {
        _EVENTS: {"schema": events, "x-data-schema": result},
        JSON: {"schema": {"type": "array", "items": result}},
    }
    text = "The parts as they are made, then an event `done`; all parts in one list if you accept only JSON."
    return {**response, "description": text, "content": content}


def _added(item: Schema, extra: Mapping[str, Any]) -> Schema:
    """Return the path item with the methods of `extra`, and for each method its content types and statuses."""
    merged = dict(item)
    for key, value in extra.items():
        ours = merged.get(key)
        is_content_type = "/" in key  # its content is not merged
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
    "/v1/stats": _probe("stats", "The replica's load in the last second.", {JSON: {"schema": {"type": "object"}}}),
}
