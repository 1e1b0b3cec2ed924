"""OpenAI's routes in the OpenAPI document, for the functions that declare them (static/openai.json)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dilu.handlers import OPENAI_CHAT, OPENAI_EMBEDDINGS, FunctionDefinition
from dilu.runtime.openapi.schema_components import Schema
from dilu.runtime.openapi.static_parts import completed, filled, static_parts
from dilu.runtime.protocols.openai_common import PREFIX, route_prefix

_ERROR_SCHEMA = "OpenAIError"
_PATHS = {OPENAI_EMBEDDINGS: "/embeddings", OPENAI_CHAT: "/chat/completions"}


def openai_schemas() -> dict[str, Schema]:
    """Return the components of OpenAI's protocol."""
    return dict(static_parts("openai")["schemas"])


def openai_paths(definitions: Sequence[FunctionDefinition]) -> dict[str, Schema]:
    """Return the path items of all functions that declare OpenAI's routes, and of the list of these functions."""
    static = static_parts("openai")
    declared = [definition for definition in definitions if definition.options.openai is not None]
    paths: dict[str, Schema] = {}
    for definition in declared:
        route = _PATHS[definition.options.openai or ""]
        more_errors: Mapping[str, str] = static["embeddings_errors"] if route == "/embeddings" else {}
        item = filled(static["paths"][route], name=definition.spec.name)
        path = route_prefix(definition, definitions) + route
        paths[path] = completed(item, _ERROR_SCHEMA, static["errors"], more_errors)
    for path in (f"{PREFIX}/models", f"{PREFIX}/models/{{name}}"):
        for definition in declared:
            item = filled({path: static["paths"][path]}, name=definition.spec.name)
            paths.update({key: completed(one, _ERROR_SCHEMA) for key, one in item.items()})
    return paths
