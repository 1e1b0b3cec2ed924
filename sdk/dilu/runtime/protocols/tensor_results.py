"""Conversion of a handler's results to the tensors of an answer."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import msgspec

from dilu.errors import RequestError
from dilu.runtime.protocols.tensor_types import OUTPUT
from dilu.runtime.protocols.tensors import DATATYPES, OF_DTYPE, Datatype

_MAX_DIMENSIONS = 32
_FITTING: dict[str, set[type]] = {"bool": {bool}, "int": {int}, "float": {float, int}, "text": set()}
_SINGLE = frozenset({str, bytes, int, float, bool})  # the types of most values, which need no conversion
_INT64, _UINT64 = DATATYPES["INT64"], DATATYPES["UINT64"]


class Output(msgspec.Struct, frozen=True, kw_only=True):  # one for each output of each answer
    """One tensor of an answer."""

    name: str
    datatype: Datatype
    shape: list[int]
    values: list[Any]  # row-major


def outputs_of(results: Sequence[Any]) -> list[Output]:
    """Return the tensors of one request's results: one named `output`, or one for each field of the results.

    Raise `RequestError` (500) if the results have different shapes or types, or are not numbers or text.
    """
    fields = _fields(results[0])
    if fields is None:
        return [_output(OUTPUT, list(results))]
    rows = [_fields(result) for result in results]
    if any(row is None or row.keys() != fields.keys() for row in rows):
        raise _unusable("the results have different fields")
    return [_output(str(name), [row[name] for row in rows if row is not None]) for name in fields]


def _fields(result: Any) -> Mapping[str, Any] | None:
    """Return the fields of a result by name; None if it has none."""
    if type(result) in _SINGLE:
        return None
    if isinstance(result, Mapping):
        return result
    if dataclasses.is_dataclass(result):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    if names := getattr(result, "__struct_fields__", None):  # msgspec
        return dict(zip(result.__struct_encode_fields__, (getattr(result, name) for name in names), strict=True))
    if hasattr(result, "model_dump"):  # pydantic
        fields: Mapping[str, Any] = result.model_dump(by_alias=True)
        return fields
    return None


def _output(name: str, column: list[Any]) -> Output:
    """Return one column, with a value for each row, as a tensor."""
    shape = [len(column)]
    datatypes: set[Datatype] = set()
    while _has_length(column[0]):
        rows = [_row(value, name, datatypes) for value in column]
        size = len(rows[0])
        if any(len(row) != size for row in rows):
            lengths = sorted({len(row) for row in rows})
            raise _unusable(f"{name!r} has rows of different lengths {lengths[:5]}; send one item per request")
        shape.append(size)
        if len(shape) > _MAX_DIMENSIONS:
            raise _unusable(f"{name!r} is nested more than {_MAX_DIMENSIONS} deep")
        column = list(chain.from_iterable(rows))
        if not column:
            break
    if not set(map(type, column)) <= _SINGLE:
        column = [_plain(value, datatypes) for value in column]
    return Output(name=name, datatype=_datatype(name, column, datatypes), shape=shape, values=column)


def _has_length(value: Any) -> bool:
    """Return whether it is a list, a tuple, an array or a tensor, and not an array without dimensions."""
    return isinstance(value, (list, tuple)) or bool(getattr(value, "shape", ()))


def _row(value: Any, name: str, datatypes: set[Datatype]) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if not _has_length(value):
        raise _unusable(f"{name!r} has rows of different depths; send one item per request")
    _note_datatype(value, datatypes)
    row: list[Any] = value.tolist()
    return row


def _plain(value: Any, datatypes: set[Datatype]) -> Any:
    """Return a single value as a Python number or text."""
    if hasattr(value, "dtype"):  # of numpy or torch
        _note_datatype(value, datatypes)
        return value.tolist()
    return value.value if isinstance(value, enum.Enum) else value


def _note_datatype(value: Any, datatypes: set[Datatype]) -> None:
    known = OF_DTYPE.get(str(value.dtype).removeprefix("torch."))
    if known is not None:
        datatypes.add(known)


def _datatype(name: str, values: list[Any], stated: set[Datatype]) -> Datatype:
    """Return the datatype of the arrays among the values, else one that fits all values."""
    kinds = set(map(type, values))
    if len(stated) == 1 and kinds <= _FITTING[next(iter(stated)).kind]:
        return stated.pop()
    if kinds <= {float}:  # also without any value
        return DATATYPES["FP64"]
    if kinds == {bool}:
        return DATATYPES["BOOL"]
    if kinds <= {str, bytes}:
        return DATATYPES["BYTES"]
    if kinds == {int}:
        return _integers(name, values)
    if kinds == {int, float}:
        values[:] = map(float, values)
        return DATATYPES["FP64"]
    raise _unusable(f"{name!r} has {_named(kinds)} values, must be numbers or texts of one type")


def _integers(name: str, values: list[int]) -> Datatype:
    smallest, greatest = min(values), max(values)
    if _INT64.minimum <= smallest and greatest <= _INT64.maximum:
        return _INT64
    if smallest >= 0 and greatest <= _UINT64.maximum:
        return _UINT64
    raise _unusable(f"{name!r} has integers of more than 64 bits")


def _named(kinds: set[type]) -> str:
    return " and ".join(sorted(kind.__name__ for kind in kinds))


def _unusable(what: str) -> RequestError:
    return RequestError(500, "unusable-result", f"the function's results cannot be tensors: {what}")
