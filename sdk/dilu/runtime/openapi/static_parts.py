"""The static parts of the protocols' descriptions, which are JSON files beside this module.

A file holds OpenAPI as it is served. Texts in braces, such as `{name}`, stand for what depends on the function. What
all operations share (headers, errors) is added by `completed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from dilu.runtime.openapi.parts import CALL_ERRORS, HEAD_ERRORS, call_parameters, error_responses, result_headers
from dilu.runtime.openapi.schema_components import Schema

_FOLDER = Path(__file__).with_name("static")


@cache
def static_parts(protocol: str) -> Mapping[str, Any]:
    """Return the content of `static/PROTOCOL.json`. Callers must not change it; `filled` makes a copy."""
    parts: dict[str, Any] = json.loads((_FOLDER / f"{protocol}.json").read_text(encoding="utf-8"))
    return parts


def filled(part: Any, **values: str) -> Any:
    """Return a deep copy in which `{key}` is replaced by its value, in texts and in keys."""
    if isinstance(part, dict):
        return {filled(key, **values): filled(content, **values) for key, content in part.items()}
    if isinstance(part, list):
        return [filled(content, **values) for content in part]
    if isinstance(part, str):
        for key, value in values.items():
            part = part.replace("{" + key + "}", value)
    return part


def completed(item: Schema, error_schema: str, *errors: Mapping[str, str]) -> Schema:
    """Return the path item with the headers and errors of its method.

    `errors` are the protocol's texts by status, which come before those that all calls have in common.
    """
    ((method, operation),) = item.items()
    responses = operation["responses"]
    found = responses["200"]
    found["headers"] = {**result_headers(), **found.get("headers", {})}
    if method == "get":
        more = error_responses(errors=HEAD_ERRORS)
    else:
        operation["parameters"] = [*call_parameters(), *operation.get("parameters", [])]
        more = error_responses(error_schema, {**CALL_ERRORS, **status_texts(*errors)})
    operation["responses"] = {**responses, **more}
    return {method: operation}


def status_texts(*errors: Mapping[str, str]) -> dict[int, str]:
    """Return the texts by status as a number; later mappings win."""
    return {int(status): text for one in errors for status, text in one.items()}
