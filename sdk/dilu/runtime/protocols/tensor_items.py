"""Conversion of a request's tensors to the items of a handler."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dilu.errors import RequestError
from dilu.runtime.protocols.tensor_types import INPUT, Signature, TensorType, described
from dilu.runtime.protocols.tensors import Tensor, nested


def items_of(tensors: Sequence[Tensor], signature: Signature, decode: Callable[[Any], Any]) -> list[Any]:
    """Return one item for each row. `decode` makes an item from a value as parsed JSON has it.

    Raise `RequestError` that names the input if the handler does not accept it.
    """
    if signature.form == "value" and len(tensors) == 1 and tensors[0].name == signature.tensors[0].name:
        return _decoded(_rows(tensors[0], signature.tensors[0]), decode)  # shortcut for the usual case
    _check_names(tensors, signature)
    count = tensors[0].shape[0]
    for tensor in tensors:
        if tensor.shape[0] != count:
            raise tensor.fault(
                f"has {tensor.shape[0]} rows and {tensors[0].name!r} has {count}; the first dimension is the batch",
                place="shape",
            )
    if signature.form == "array":
        return _arrays(tensors[0], signature.dtype)
    columns = {tensor.name: _rows(tensor, signature.find(tensor.name)) for tensor in tensors}
    return _decoded(_values(columns, count, signature), decode)


def _check_names(tensors: Sequence[Tensor], signature: Signature) -> None:
    seen = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise tensor.fault("occurs twice", place="name")
        seen.add(tensor.name)
        if signature.tensors and signature.find(tensor.name) is None:
            raise tensor.fault(f"is unknown; this function accepts {described(signature.tensors)}", place="name")
    missing = [one for one in signature.tensors if one.is_required and one.name not in seen]
    if missing:
        raise RequestError(400, "missing-input", f"inputs: {described(missing)} is required", field="inputs")


def _values(columns: dict[str, list[Any]], count: int, signature: Signature) -> list[Any]:
    """Return one value for each row, as parsed JSON has it."""
    if signature.form == "value" or (signature.form == "any" and list(columns) == [INPUT]):
        return next(iter(columns.values()))
    if signature.form == "positions":
        order = [tensor.name for tensor in signature.tensors if tensor.name in columns] or list(columns)
        return [[columns[name][row] for name in order] for row in range(count)]
    return [{name: rows[row] for name, rows in columns.items()} for row in range(count)]


def _decoded(values: list[Any], decode: Callable[[Any], Any]) -> list[Any]:
    items = []
    for row, value in enumerate(values):
        try:
            items.append(decode(value))
        except RequestError as error:
            message = f"row {row} of the inputs: {error}"
            raise RequestError(error.status, error.code, message, field=error.field) from None
    return items


def _rows(tensor: Tensor, wanted: TensorType | None) -> list[Any]:
    """Return the rows of one input; a row is one value or nested lists."""
    shape = tensor.shape
    if wanted is not None:
        _check_kind(tensor, wanted)
        shape = _fitted(tensor, wanted)
    values = tensor.values()
    if tensor.datatype.kind == "text":
        values = _texts(tensor, values, as_bytes=wanted is not None and wanted.is_bytes)
    return nested(values, shape) if len(shape) > 1 else values


def _check_kind(tensor: Tensor, wanted: TensorType) -> None:
    if tensor.datatype.kind not in wanted.kinds:
        takes = " or ".join(wanted.kinds)
        raise tensor.fault(
            f"has the datatype {tensor.datatype.name}; this function accepts {wanted.datatype.name} (any of {takes})",
            place="datatype",
        )


def _fitted(tensor: Tensor, wanted: TensorType) -> tuple[int, ...]:
    """Return the shape without those trailing dimensions of 1 that the type does not have."""
    rank, shape = wanted.rank, tensor.shape
    if rank is None or len(shape) == rank:
        return shape
    if len(shape) > rank and all(size == 1 for size in shape[rank:]):
        return shape[:rank]
    states = [-1] * rank
    raise tensor.fault(f"has the shape {list(shape)}; this function accepts {states}", place="shape")


def _texts(tensor: Tensor, values: list[Any], *, as_bytes: bool) -> list[Any]:
    if as_bytes:
        return [value.encode() if isinstance(value, str) else value for value in values]
    try:
        return [value if isinstance(value, str) else value.decode() for value in values]
    except UnicodeDecodeError:
        raise tensor.fault("has bytes that are not UTF-8; this function accepts text", "invalid-text") from None


def _arrays(tensor: Tensor, dtype: str | None) -> list[Any]:
    """Return the rows as numpy arrays, which share memory."""
    import numpy as np  # installed, because the handler uses its array type

    kind = tensor.datatype.kind
    if isinstance(tensor.data, memoryview) and kind != "text":
        array = np.frombuffer(tensor.numbers(), dtype=np.dtype(tensor.datatype.dtype).newbyteorder("<")).copy()
        if kind == "float" and not np.isfinite(array).all():
            raise tensor.not_finite()
    else:
        values = tensor.values()
        is_text = kind == "text"
        texts = _texts(tensor, values, as_bytes=False) if is_text else values
        array = np.array(texts, dtype=object if is_text else tensor.datatype.dtype)
    array = array.reshape(tensor.shape)
    if dtype is None or str(array.dtype) == dtype:
        return list(array)
    try:
        with np.errstate(over="raise"):
            return list(array.astype(dtype, casting="same_kind"))
    except TypeError:
        what = f"has the datatype {tensor.datatype.name}; this function accepts {dtype}"
        raise tensor.fault(what, place="datatype") from None
    except FloatingPointError:
        raise tensor.fault(f"has a number outside the range of {dtype}", "invalid-value") from None
