"""JSON Schemas of Python types under names that are unique in one document, from msgspec and from pydantic models."""

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
# References on their way into the document; each library's names are its own until they are taken in.
_MSGSPEC_REF = "#/msgspec/"
_PYDANTIC_REF = "#/$defs/"
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]")


class UncheckedTypeError(TypeError):
    """A type that JSON cannot state, so that items of it are not checked."""


class SchemaComponents:
    """The part `components.schemas` of an OpenAPI document while it grows."""

    def __init__(self, schemas: Mapping[str, Schema] | None = None) -> None:
        self.schemas: dict[str, Schema] = dict(schemas or {})
        self._closures: dict[str, str] = {}  # what stands behind a name, so that equal types share it

    def item_schema(self, item_type: Any) -> Schema:
        """The schema of one item as a handler takes it; any JSON where the replica does not check the type."""
        return self._schema(item_type, is_result=False)

    def result_schema(self, result_type: Any) -> Schema:
        """The schema of one result that is no error; parts that cannot be stated may be any JSON."""
        return self._schema(_without_errors(result_type), is_result=True)

    def _schema(self, kind: Any, *, is_result: bool) -> Schema:
        if kind is Any:
            return {}
        known = dict(self.schemas), dict(self._closures)
        try:
            return self._from_msgspec(kind, is_result=is_result)
        except Exception:  # msgspec and pydantic look into the user's classes, which may raise anything
            self.schemas, self._closures = known
            return {"description": "Any JSON value: the type of the handler's annotation cannot be stated in JSON."}

    def _from_msgspec(self, kind: Any, *, is_result: bool) -> Schema:
        def hook(cls: Any) -> Schema:
            return self._foreign(cls, is_result=is_result)

        (schema,), bundle = msgspec.json.schema_components(
            (kind,), schema_hook=hook, ref_template=_MSGSPEC_REF + "{name}"
        )
        return self._take(schema, bundle, _MSGSPEC_REF, is_result=is_result)

    def _foreign(self, cls: Any, *, is_result: bool) -> Schema:
        """The schema of a class that msgspec does not know."""
        if cls is object:
            return {}
        if callable(getattr(cls, "model_validate", None)) and callable(getattr(cls, "model_json_schema", None)):
            return self._from_model(cls, is_result=is_result)
        if not is_result:
            raise UncheckedTypeError(f"JSON cannot state {cls}")
        if hasattr(cls, "tolist"):
            return {"description": "An array or a number: what tolist() of it gives."}
        return {}

    def _from_model(self, model: Any, *, is_result: bool) -> Schema:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a default that JSON cannot state: it is left out
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
        """The schema with its references turned to the document's names, under which the bundle is kept."""
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
    """`float | ItemError` as `float`: errors have answers of their own."""
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
    """A text that is the same for two names only if all that they lead to is the same."""
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
    """A copy in which every text that is one of the targets' references is replaced, discriminators' included."""
    if isinstance(part, dict):
        return {key: _redirected(value, targets) for key, value in part.items()}
    if isinstance(part, list):
        return [_redirected(value, targets) for value in part]
    return targets.get(part, part) if isinstance(part, str) else part
