"""From the tensors of a request to a handler's items."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from dilu.errors import RequestError
from dilu.runtime.codec import ItemCodec
from dilu.runtime.protocols.tensor_items import items_of
from dilu.runtime.protocols.tensor_types import signature_of
from dilu.runtime.protocols.tensors import DATATYPES, Tensor

Given = tuple[str, str, list[int], Any]


@dataclass
class House:
    area: float
    rooms: int = 1


class Pair(NamedTuple):
    n: int
    text: str


def items(item_type: Any, *given: Given) -> list[Any]:
    tensors = [
        Tensor(
            name=name,
            field=f"$.inputs[{index}]",
            datatype=DATATYPES[datatype],
            shape=tuple(shape),
            data=memoryview(data) if isinstance(data, bytes) else msgspec.Raw(json.dumps(data).encode()),
        )
        for index, (name, datatype, shape, data) in enumerate(given)
    ]
    return items_of(tensors, signature_of(item_type, "input"), ItemCodec(item_type).convert)


TAKEN: list[tuple[Any, list[Given], list[Any]]] = [
    (str, [("input", "BYTES", [2], ["a", "b"])], ["a", "b"]),
    (str, [("input", "BYTES", [2, 1], ["a", "b"])], ["a", "b"]),  # as Triton's clients send scalars
    (str, [("input", "BYTES", [1], b"\x02\x00\x00\x00\xc3\xa9")], ["é"]),
    (bytes, [("input", "BYTES", [1], b"\x01\x00\x00\x00\xff")], [b"\xff"]),
    (bytes, [("input", "BYTES", [1], ["é"])], [b"\xc3\xa9"]),
    (float, [("input", "FP32", [2], [1.5, 2])], [1.5, 2.0]),
    (float, [("input", "INT8", [1], [1])], [1.0]),
    (int, [("input", "UINT16", [1], [3])], [3]),
    (bool, [("input", "BOOL", [1], [True])], [True]),
    (list[float], [("input", "FP64", [2, 3], [1, 2, 3, 4, 5, 6])], [[1, 2, 3], [4, 5, 6]]),
    (list[list[int]], [("input", "INT64", [1, 2, 2], [[[1, 2], [3, 4]]])], [[[1, 2], [3, 4]]]),
    (tuple[float, ...], [("input", "FP64", [1, 2], [1, 2])], [(1.0, 2.0)]),
    (House, [("area", "FP32", [2], [1, 2]), ("rooms", "INT32", [2], [3, 4])], [House(1.0, 3), House(2.0, 4)]),
    (House, [("area", "FP32", [1], [1])], [House(1.0)]),
    (Pair, [("text", "BYTES", [1], ["a"]), ("n", "INT64", [1], [1])], [Pair(1, "a")]),
    (dict[str, float], [("a", "FP64", [1], [1]), ("b", "FP64", [1], [2])], [{"a": 1.0, "b": 2.0}]),
    (Any, [("input", "FP64", [1, 2], [1, 2])], [[1.0, 2.0]]),
    (Any, [("other", "BYTES", [1], ["a"])], [{"other": "a"}]),
    (Any, [("input", "BYTES", [1], b"\x01\x00\x00\x00a")], ["a"]),
]

NOT_TAKEN: list[tuple[Any, list[Given], str, str]] = [
    (str, [("text", "BYTES", [1], ["a"])], "$.inputs[0].name", "'text' is unknown; this function accepts 'input'"),
    (str, [("input", "BYTES", [1], ["a"])] * 2, "$.inputs[1].name", "occurs twice"),
    (str, [("input", "FP32", [1], [1])], "$.inputs[0].datatype", "accepts BYTES"),
    (float, [("input", "BYTES", [1], ["1"])], "$.inputs[0].datatype", "accepts FP64 (any of float or int)"),
    (int, [("input", "FP32", [1], [1.0])], "$.inputs[0].datatype", "accepts INT64"),
    (bool, [("input", "INT8", [1], [1])], "$.inputs[0].datatype", "accepts BOOL"),
    (list[float], [("input", "FP32", [2], [1, 2])], "$.inputs[0].shape", "this function accepts [-1, -1]"),
    (float, [("input", "FP32", [1, 2], [1, 2])], "$.inputs[0].shape", "this function accepts [-1]"),
    (str, [("input", "BYTES", [1], b"\x01\x00\x00\x00\xff")], "$.inputs[0].data", "not UTF-8"),
    (House, [("rooms", "INT64", [1], [1])], "inputs", "'area' is required"),
    (
        House,
        [("area", "FP64", [2], [1, 2]), ("rooms", "INT64", [1], [1])],
        "$.inputs[1].shape",
        "has 1 rows and 'area' has 2",
    ),
    (
        House,
        [("area", "FP64", [1], [1]), ("rooms", "INT64", [2], [1, 2])],
        "$.inputs[1].shape",
        "has 2 rows and 'area' has 1",
    ),
    (dict[str, float], [("a", "BYTES", [1], ["x"])], "$[...]", "row 0 of the inputs: Expected `float`, got `str`"),
]


@pytest.mark.parametrize(("item_type", "given", "wanted"), TAKEN, ids=lambda one: str(one)[:40])
def test_each_row_is_one_item(item_type: Any, given: list[Given], wanted: list[Any]) -> None:
    found = items(item_type, *given)
    assert found == wanted
    assert [type(item) for item in found] == [type(item) for item in wanted]


@pytest.mark.parametrize(("item_type", "given", "field", "message"), NOT_TAKEN, ids=lambda one: str(one)[:40])
def test_what_the_handler_does_not_take_is_refused_by_name(
    item_type: Any, given: list[Given], field: str, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        items(item_type, *given)
    assert caught.value.status in (400, 422)
    assert caught.value.field == field
    assert message in str(caught.value)


def test_rows_become_arrays_for_a_handler_of_arrays() -> None:
    binary = struct.pack("<6f", *range(6))
    for data in (binary, [[0, 1, 2], [3, 4, 5]]):
        first, second = items(npt.NDArray[np.float32], ("input", "FP32", [2, 3], data))
        assert first.dtype == second.dtype == np.float32
        assert (first.tolist(), second.tolist()) == ([0, 1, 2], [3, 4, 5])
        second[0] = 9.0  # they may be written to


def test_arrays_are_cast_to_the_stated_dtype_where_that_is_safe() -> None:
    (row,) = items(npt.NDArray[np.float32], ("input", "INT64", [1, 1], [1]))
    assert row.dtype == np.float32
    with pytest.raises(RequestError, match="accepts int32"):
        items(npt.NDArray[np.int32], ("input", "FP32", [1], [1.5]))
    with pytest.raises(RequestError, match="has a number outside the range of float32"):
        items(npt.NDArray[np.float32], ("input", "FP64", [1], [1e300]))


def test_arrays_of_any_dtype_come_as_they_are_and_finite() -> None:
    (row,) = items(np.ndarray, ("input", "UINT8", [1, 2, 2], bytes(4)))
    assert (row.dtype, row.shape) == (np.uint8, (2, 2))
    (texts,) = items(np.ndarray, ("input", "BYTES", [1, 2], ["a", "b"]))
    assert (texts.dtype, texts.tolist()) == (np.dtype(object), ["a", "b"])
    with pytest.raises(RequestError, match="NaN or an infinity"):
        items(np.ndarray, ("input", "FP32", [1], struct.pack("<f", float("nan"))))
