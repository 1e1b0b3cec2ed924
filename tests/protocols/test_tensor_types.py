"""Which tensors a handler's types stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
import pydantic
import pytest

from dilu.runtime.protocols.tensor_types import signature_of


@dataclass
class House:
    area: float
    rooms: int
    street: str = ""


class Word(msgspec.Struct, rename={"text": "Text"}):
    text: str
    weights: list[float] = []  # msgspec copies it


class Listed(msgspec.Struct, array_like=True):
    x: float
    y: float


class Typed(TypedDict):
    n: int
    note: NotRequired[str]


class Pair(NamedTuple):
    n: int
    text: str


class Model(pydantic.BaseModel):
    text: str
    k: int = pydantic.Field(default=1, alias="top_k")
    limit: float | None = None


@dataclass
class Nested:
    house: House
    n: int


class Unknown:
    pass


INPUT_X = ("x", "FP64", [-1])
TYPES: list[tuple[Any, str, list[tuple[str, str, list[int]]]]] = [
    (str, "value", [("x", "BYTES", [-1])]),
    (bytes, "value", [("x", "BYTES", [-1])]),
    (bool, "value", [("x", "BOOL", [-1])]),
    (int, "value", [("x", "INT64", [-1])]),
    (float, "value", [INPUT_X]),
    (float | None, "value", [INPUT_X]),
    (Annotated[float, msgspec.Meta(ge=0)], "value", [INPUT_X]),
    (list[float], "value", [("x", "FP64", [-1, -1])]),
    (tuple[int, ...], "value", [("x", "INT64", [-1, -1])]),
    (Sequence[str], "value", [("x", "BYTES", [-1, -1])]),
    (Annotated[list[list[float]], "pixels"], "value", [("x", "FP64", [-1, -1, -1])]),
    (np.ndarray, "array", [("x", "FP32", [-1, -1])]),
    (npt.NDArray[np.float64], "array", [("x", "FP64", [-1, -1])]),
    (npt.NDArray[np.uint8], "array", [("x", "UINT8", [-1, -1])]),
    (npt.NDArray[np.bool_], "array", [("x", "BOOL", [-1, -1])]),
    (House, "fields", [("area", "FP64", [-1]), ("rooms", "INT64", [-1]), ("street", "BYTES", [-1])]),
    (Word, "fields", [("Text", "BYTES", [-1]), ("weights", "FP64", [-1, -1])]),
    (Listed, "positions", [("x", "FP64", [-1]), ("y", "FP64", [-1])]),
    (Typed, "fields", [("n", "INT64", [-1]), ("note", "BYTES", [-1])]),
    (Pair, "positions", [("n", "INT64", [-1]), ("text", "BYTES", [-1])]),
    (Model, "fields", [("text", "BYTES", [-1]), ("top_k", "INT64", [-1]), ("limit", "FP64", [-1])]),
    (Nested, "any", []),
    (dict[str, float], "any", []),
    (int | str, "any", []),
    (Any, "any", []),
    (object, "any", []),
    (Unknown, "any", []),
    (complex, "any", []),
    (5, "any", []),
]


@pytest.mark.parametrize(("declared", "form", "tensors"), TYPES, ids=lambda one: str(one)[:40])
def test_a_type_stands_for_these_tensors(declared: Any, form: str, tensors: list[tuple[str, str, list[int]]]) -> None:
    signature = signature_of(declared, "x")
    assert signature.form == form
    found = [one.metadata() for one in signature.tensors]
    assert found == [{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in tensors]


def test_fields_with_a_default_may_be_left_out() -> None:
    for declared, required in ((House, ["area", "rooms"]), (Word, ["Text"]), (Typed, ["n"]), (Model, ["text"])):
        assert [one.name for one in signature_of(declared, "x").tensors if one.is_required] == required


def test_the_dtype_of_an_array_is_known_only_where_it_is_stated() -> None:
    assert signature_of(np.ndarray, "x").dtype is None
    assert signature_of(npt.NDArray[np.float32], "x").dtype == "float32"
    assert signature_of(npt.NDArray[Any], "x").dtype is None
