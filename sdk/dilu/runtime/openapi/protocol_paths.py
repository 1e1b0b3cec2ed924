"""The protocols' routes for a replica's OpenAPI document: CloudEvents, the Open Inference Protocol, OpenAI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dilu.handlers import FunctionDefinition
from dilu.runtime.openapi.cloud_events import event_operation
from dilu.runtime.openapi.document import plain_path
from dilu.runtime.openapi.open_inference import inference_schemas, model_paths, server_paths
from dilu.runtime.openapi.openai import openai_paths, openai_schemas
from dilu.runtime.openapi.schema_components import Schema, SchemaComponents


def protocol_schemas(definitions: Sequence[FunctionDefinition]) -> Mapping[str, Schema]:
    """Return the components that `protocol_paths` refers to; those of OpenAI only if a function declares its routes."""
    declares_openai = any(definition.options.openai is not None for definition in definitions)
    return {**inference_schemas(definitions), **(openai_schemas() if declares_openai else {})}


def protocol_paths(definitions: Sequence[FunctionDefinition], components: SchemaComponents) -> dict[str, Schema]:
    """Return the path items of all protocols for a replica of `definitions`, one for each route in `protocols`.

    CloudEvents are further content of the plain routes. `components` hold `protocol_schemas`; the types of the
    functions, which appear in events as on the plain routes, are added to them.
    """
    paths: dict[str, Schema] = {}
    for definition in definitions:
        paths[plain_path(definition, definitions)] = {"post": event_operation(definition, components)}
    paths.update(openai_paths(definitions))
    paths.update(server_paths())
    for definition in definitions:
        paths.update(model_paths(definition))
    return paths
