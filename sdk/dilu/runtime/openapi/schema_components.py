"""JSON Schemas of Python types, from msgspec and pydantic, under names that are unique in one document."""

from __future__ import annotations

import functools
import json
import operator
import re
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

Schema = dict[str, Any]

COMPONENT = "#/components/schemas/"
# Prefixes of references in each library's schemas; they are replaced when a schema enters the document.
_MSGSPEC_REF = "#/msgspec/"
_PYDANTIC_REF = "#/$defs/"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


class UncheckedTypeError(TypeError):
    """A type that JSON cannot represent, so that items of it are not checked."""


class SchemaComponents:
    """The part `components.schemas` of an OpenAPI document while it is built."""

    def __init__(self, schemas: Mapping[str, Schema] | None = None) -> None:
        self.schemas: dict[str, Schema] = dict(schemas or {})
        self._closures: dict[str, str] = {}  # the full content behind each name, so that equal types share a name

    def item_schema(self, item_type: Any) -> Schema:
        """Return the schema of one item; any JSON if the replica does not check its type."""
        return self._schema(item_type, is_result=False)

    def result_schema(self, result_type: Any) -> Schema:
        """Return the schema of one result; parts that JSON Schema cannot express may be any JSON."""
        return self._schema(_without_errors(result_type), is_result=True)

    def _schema(self, kind: Any, *, is_result: bool) -> Schema:
        if kind is Any:
            return {}
        known = dict(self.schemas), dict(self._closures)
        try:
            return self._from_msgspec(kind, is_result=is_result)
        except Exception:  # msgspec and pydantic inspect the user's classes, which may raise anything
            self.schemas, self._closures = known
            return {"description": "Any JSON value: the handler's annotation has no JSON Schema."}

    def _from_msgspec(self, kind: Any, *, is_result: bool) -> Schema:
        def hook(cls: Any) -> Schema:
            return self._foreign(cls, is_result=is_result)

        (schema,), bundle = msgspec.json.schema_components(
            (kind,), schema_hook=hook, ref_template=_MSGSPEC_REF + "{name}"
        )
        return self._take(schema, bundle, _MSGSPEC_REF, is_result=is_result)

    def _foreign(self, cls: Any, *, is_result: bool) -> Schema:
        """Return the schema of a class that msgspec does not know."""
        if cls is object:
            return {}
        if callable(getattr(cls, "model_validate", None)) and callable(getattr(cls, "model_json_schema", None)):
            return self._from_model(cls, is_result=is_result)
        if not is_result:
            raise UncheckedTypeError(f"JSON cannot represent {cls}")
        if hasattr(cls, "tolist"):
            return {"description": "An array or a number: the value of its tolist()."}
        return {}

    def _from_model(self, model: Any, *, is_result: bool) -> Schema:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a default that JSON cannot represent: it is left out
            made = model.model_json_schema(mode="serialization" if is_result else "validation")
        schema: Schema = json.loads(json.dumps(made, default=str))  # examples may be anything
        bundle: dict[str, Schema] = schema.pop("$defs", {})
        if not schema.get("$ref", "").startswith(_PYDANTIC_REF):  # a recursive model is in its own definitions
            name = model.__name__
            while name in bundle:  # an inner model of the same name, from another module
                name += "_"
            bundle = {**bundle, name: schema}
            schema = {"$ref": _PYDANTIC_REF + name}
        return self._take(schema, bundle, _PYDANTIC_REF, is_result=is_result)

    def _take(self, schema: Schema, bundle: Mapping[str, Schema], prefix: str, *, is_result: bool) -> Schema:
        """Add the bundle to the document, and return the schema with references to the names that it got there."""
        targets: dict[str, str] = {}
        fresh: dict[str, Schema] = {}
        for name, part in bundle.items():
            closure = _closure(name, bundle, prefix)
            final = self._name_for(name, closure, is_result=is_result)
            if self._closures.get(final) != closure:
                self._closures[final] = closure
                fresh[final] = part
            targets[prefix + name] = COMPONENT + final
        for final, part in fresh.items():
            self.schemas[final] = _redirected(part, targets)
        redirected: Schema = _redirected(schema, targets)
        return redirected

    def _name_for(self, name: str, closure: str, *, is_result: bool) -> str:
        plain = _NOT_IN_NAMES.sub("_", name) or "Type"
        for candidate in _candidates(plain, is_result=is_result):
            is_taken = candidate in self.schemas or candidate in self._closures
            if not is_taken or self._closures.get(candidate) == closure:
                return candidate
        raise AssertionError("names are endless")


def _without_errors(kind: Any) -> Any:
    """Return `float` for `float | ItemError`: errors are described as responses of their own."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    kept = [part for part in typing.get_args(kind) if not (isinstance(part, type) and issubclass(part, BaseException))]
    return functools.reduce(operator.or_, kept) if kept else Any


def _candidates(name: str, *, is_result: bool) -> Iterator[str]:
    yield name
    if is_result:
        yield f"{name}Result"
    number = 2
    while True:
        yield f"{name}{number}"
        number += 1


def _closure(name: str, bundle: Mapping[str, Schema], prefix: str) -> str:
    """Return a text that is equal for two names only if all schemas reachable from them are equal."""
    reached: dict[str, Schema] = {}
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in reached and current in bundle:
            reached[current] = bundle[current]
            waiting += [ref.removeprefix(prefix) for ref in _references(bundle[current]) if ref.startswith(prefix)]
    return json.dumps([name, reached], sort_keys=True, default=str)


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str):
            yield reference
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _redirected(part: Any, targets: Mapping[str, str]) -> Any:
    """Return a copy in which every text that is a key of `targets` is replaced, in discriminators too."""
    if isinstance(part, dict):
        return {key: _redirected(value, targets) for key, value in part.items()}
    if isinstance(part, list):
        return [_redirected(value, targets) for value in part]
    return targets.get(part, part) if isinstance(part, str) else part
