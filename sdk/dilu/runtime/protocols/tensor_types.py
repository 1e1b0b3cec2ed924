"""The tensors of a handler's types.

| item type                                | inputs                                                          |
|------------------------------------------|-----------------------------------------------------------------|
| `str`, `bytes`                           | `input` BYTES [-1]                                              |
| `bool`, `int`, `float`                   | `input` BOOL, INT64, FP64 [-1]                                  |
| `list[T]`, `tuple[T, ...]`               | as T, with one dimension more: [-1, -1]                         |
| `numpy.ndarray`                          | `input` of its dtype (FP32 if it states none) [-1, -1]; any rank |
| dataclass, struct, TypedDict, pydantic   | one for each field, with the field's name                       |
| `dict`                                   | any number with any name                                        |
| anything else                            | the same; one input named `input` is the item itself            |

The first dimension is the batch: each row is one item. Every datatype of the same kind is accepted, whole numbers also
for floats, and additional trailing dimensions of 1. Results follow the same rule, with `output` for `input`.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec

from dilu.runtime.protocols.tensors import DATATYPES, OF_DTYPE, Datatype, Kind

INPUT, OUTPUT = "input", "output"

# How a row becomes an item: as it is, from named fields, from fields in order, as an array, by the inputs' names.
Form = Literal["value", "fields", "positions", "array", "any"]

_SCALARS: dict[type, tuple[str, tuple[Kind, ...]]] = {
    msgspec.inspect.BoolType: ("BOOL", ("bool",)),
    msgspec.inspect.IntType: ("INT64", ("int",)),
    msgspec.inspect.FloatType: ("FP64", ("float", "int")),
    msgspec.inspect.StrType: ("BYTES", ("text",)),
    msgspec.inspect.BytesType: ("BYTES", ("text",)),
}
_ARRAYS = (
    msgspec.inspect.ListType,
    msgspec.inspect.VarTupleType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorType:
    """One tensor by name."""

    name: str
    datatype: Datatype
    kinds: tuple[Kind, ...]  # accepted kinds
    rank: int | None  # with the batch's dimension; None: any
    is_bytes: bool = False  # elements of BYTES are bytes, else text
    is_required: bool = True

    def metadata(self) -> dict[str, Any]:
        """Return the tensor as the protocol's metadata describes it."""
        return {"name": self.name, "datatype": self.datatype.name, "shape": [-1] * (self.rank or 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The tensors of one item or result type, and how rows of them become items."""

    form: Form
    tensors: tuple[TensorType, ...] = ()  # empty: not known
    dtype: str | None = None  # of an array, if its type names one

    def find(self, name: str) -> TensorType | None:
        """Return the tensor with this name, or None."""
        return next((tensor for tensor in self.tensors if tensor.name == name), None)


def signature_of(declared: Any, name: str) -> Signature:
    """Return the tensors of a declared type; a tensor that is not a field is called `name`."""
    dtype = _array_dtype(declared)
    if dtype is not None:
        datatype = OF_DTYPE.get(dtype, DATATYPES["FP32"])
        array = TensorType(name=name, datatype=datatype, kinds=("bool", "int", "float", "text"), rank=None)
        return Signature(form="array", tensors=(array,), dtype=dtype or None)
    try:
        info = _bare(msgspec.inspect.type_info(_without_annotations(declared)))
    except Exception:  # it inspects the user's classes, which may raise anything
        return Signature(form="any")
    fields = _fields(info)
    if fields is None:
        tensor = _tensor(name, info)
        return Signature(form="any") if tensor is None else Signature(form="value", tensors=(tensor,))
    tensors = [_tensor(field, kind, is_required=required) for field, kind, required in fields]
    form: Form = "positions" if _is_positional(info) else "fields"
    if not tensors or None in tensors:  # a field that cannot be a tensor: let the decoder check the items
        return Signature(form="any" if form == "fields" else form)
    return Signature(form=form, tensors=tuple(tensor for tensor in tensors if tensor is not None))


def _array_dtype(declared: Any) -> str | None:
    """Return the dtype of a numpy array type, "" if it names none; None for other types. Import nothing."""
    bare = _without_annotations(declared)
    origin = typing.get_origin(bare) or bare
    if getattr(origin, "__module__", "") != "numpy" or getattr(origin, "__name__", "") != "ndarray":
        return None
    arguments = typing.get_args(bare)  # ndarray[shape, dtype[float32]]
    scalars = typing.get_args(arguments[-1]) if arguments else ()
    name = getattr(scalars[0], "__name__", "").rstrip("_") if scalars else ""
    return name if name in OF_DTYPE else ""  # np.floating, for example, is a family


def _without_annotations(declared: Any) -> Any:
    while typing.get_origin(declared) is Annotated:
        declared = declared.__origin__
    return declared


def _bare(info: Any) -> Any:
    """Return the type without metadata, and without None if it is optional."""
    if isinstance(info, msgspec.inspect.Metadata):
        return _bare(info.type)
    if isinstance(info, msgspec.inspect.UnionType):
        others = [one for one in info.types if not isinstance(one, msgspec.inspect.NoneType)]
        if len(others) == 1:
            return _bare(others[0])
    return info


def _tensor(name: str, info: Any, *, is_required: bool = True) -> TensorType | None:
    rank, info = 1, _bare(info)
    while isinstance(info, _ARRAYS):
        rank, info = rank + 1, _bare(info.item_type)
    scalar = _SCALARS.get(type(info))
    if scalar is None:
        return None
    return TensorType(
        name=name,
        datatype=DATATYPES[scalar[0]],
        kinds=scalar[1],
        rank=rank,
        is_bytes=isinstance(info, msgspec.inspect.BytesType),
        is_required=is_required,
    )


def _fields(info: Any) -> list[tuple[str, Any, bool]] | None:
    """Return name, type and whether it is required for each field; None for a type without fields."""
    if isinstance(
        info,
        msgspec.inspect.StructType
        | msgspec.inspect.DataclassType
        | msgspec.inspect.TypedDictType
        | msgspec.inspect.NamedTupleType,
    ):
        return [(field.encode_name, field.type, field.required) for field in info.fields]
    if isinstance(info, msgspec.inspect.CustomType):
        return _model_fields(getattr(info.cls, "model_fields", None))
    return None


def _model_fields(fields: Any) -> list[tuple[str, Any, bool]] | None:
    """Return those of a pydantic model, recognized by its attributes, because pydantic is not a dependency."""
    if not isinstance(fields, dict):
        return None
    return [
        (field.alias or name, msgspec.inspect.type_info(field.annotation), field.is_required())
        for name, field in fields.items()
    ]


def _is_positional(info: Any) -> bool:
    return isinstance(info, msgspec.inspect.NamedTupleType) or bool(getattr(info, "array_like", False))


def described(tensors: Sequence[TensorType]) -> str:
    """Return the names for an error message."""
    return ", ".join(repr(tensor.name) for tensor in tensors)
