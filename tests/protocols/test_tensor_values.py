"""Tensors of the Open Inference Protocol: what their data may be, as JSON and as bytes."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import RequestError
from dilu.runtime.protocols.tensors import DATATYPES, Tensor, nested, packed
from protocols.outcomes import outcome

_RANGES = {name: (int(one.minimum), int(one.maximum)) for name, one in DATATYPES.items() if one.kind == "int"}
_FLOAT_BITS = {"FP16": 16, "FP32": 32, "FP64": 64}


def tensor(datatype: str, shape: list[int], data: Any) -> Tensor:
    """One input whose data are bytes, or JSON (a text as it is, other values encoded)."""
    if isinstance(data, bytes):
        given_data: Any = memoryview(data)
    else:
        given_data = msgspec.Raw((data if isinstance(data, str) else json.dumps(data)).encode())
    return Tensor(name="x", field="$.inputs[0]", datatype=DATATYPES[datatype], shape=tuple(shape), data=given_data)


ACCEPTED: list[tuple[str, list[int], Any, list[Any]]] = [
    ("BOOL", [2], [True, False], [True, False]),
    ("BOOL", [2], b"\x01\x00", [True, False]),
    ("UINT8", [2], [0, 255], [0, 255]),
    ("INT8", [2], [-128, 127], [-128, 127]),
    ("UINT64", [1], [2**64 - 1], [2**64 - 1]),
    ("INT64", [1], [-(2**63)], [-(2**63)]),
    ("FP32", [2], [1, 2.5], [1.0, 2.5]),
    ("FP32", [1], struct.pack("<f", 0.5), [0.5]),
    ("FP16", [1], struct.pack("<e", 0.5), [0.5]),
    ("FP16", [1], [65504.0], [65504.0]),
    ("FP64", [2, 2], [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]),
    ("FP64", [2, 2], [[1, 2], [3, 4]], [1.0, 2.0, 3.0, 4.0]),
    ("FP64", [2, 2], " [ [1, 2],\n [3, 4] ] ", [1.0, 2.0, 3.0, 4.0]),
    ("FP64", [1, 2, 1], [[[1], [2]]], [1.0, 2.0]),
    ("BYTES", [2], ["a", "é"], ["a", "é"]),
    ("BYTES", [2], b"\x01\x00\x00\x00a\x00\x00\x00\x00", [b"a", b""]),
    ("FP64", [2], struct.pack("<2d", 1.7e308, 1.7e308), [1.7e308, 1.7e308]),  # their sum is not finite
]

REFUSED: list[tuple[str, list[int], Any, str, str]] = [
    ("BOOL", [1], [1], "data[0]", "has values that are not BOOL"),
    ("UINT8", [1], [256], "data[0]", "<= 255"),
    ("UINT8", [1], [-1], "data[0]", ">= 0"),
    ("INT8", [2], [0, 128], "data[1]", "<= 127"),
    ("UINT64", [1], [2**64], "data", "above the maximum of UINT64"),
    ("UINT64", [1], "[1" + "0" * 300 + "]", "data", "more than 30 digits"),
    ("INT64", [1], [2**63], "data[0]", "has values that are not INT64"),
    ("INT32", [1], [1.5], "data[0]", "Expected `int`"),
    ("FP16", [1], [65520.0], "data[0]", "has values that are not FP16"),
    ("FP32", [1], [3.5e38], "data[0]", "has values that are not FP32"),
    ("FP64", [1], "[1e999]", "data", "out of range"),
    ("FP64", [1], "[NaN]", "data", "not JSON"),
    ("FP64", [1], "[Infinity]", "data", "not JSON"),
    ("FP64", [1], ["1"], "data[0]", "Expected `float`"),
    ("FP64", [1], [None], "data[0]", "Expected `float`"),
    ("BYTES", [1], [1], "data[0]", "Expected `str`"),
    ("FP64", [1], 1.0, "data", "an array as its data"),
    ("FP64", [1], {"a": 1}, "data", "an array as its data"),
    ("FP64", [1], None, "data", "an array as its data"),
    ("FP64", [3], [1.0, 2.0], "data", "has 2 values, but its shape [3] has 3"),
    ("FP64", [2**31 - 1, 2**31 - 1], [1.0], "data", "has 1 values"),
    ("FP64", [2, 2], [[1, 2, 3], [4]], "data", "is not nested like its shape"),
    ("FP64", [1, 2, 2], [[1, 2], [3, 4]], "data", "is nested 2 deep"),
    ("FP64", [2], [[1], [2]], "data", "is nested 2 deep"),
    ("FP64", [2, 2], [[1, 2], 3], "data[1]", "Expected `array`"),
    ("FP64", [2], "[" * 100_000, "data", "is nested 100000 deep"),
    ("FP32", [2], struct.pack("<f", 1.0), "data", "has 4 bytes of binary data, but FP32 of shape [2] is 8"),
    ("FP32", [1], struct.pack("<f", math.nan), "data", "NaN or an infinity"),
    ("FP16", [1], struct.pack("<e", math.inf), "data", "NaN or an infinity"),
    ("FP64", [2], struct.pack("<2d", math.inf, -math.inf), "data", "NaN or an infinity"),
    ("BYTES", [1], b"\x01\x00\x00", "data", "ends within the length of an element"),
    ("BYTES", [1], b"\x05\x00\x00\x00abc", "data", "ends within an element"),
    ("BYTES", [1], b"\xff\xff\xff\xff", "data", "ends within an element"),
    ("BYTES", [2], b"\x00\x00\x00\x00", "data", "has 1 values"),
]


@pytest.mark.parametrize(("datatype", "shape", "data", "values"), ACCEPTED, ids=lambda one: str(one)[:30])
def test_data_that_fits_datatype_and_shape_is_read(
    datatype: str, shape: list[int], data: Any, values: list[Any]
) -> None:
    assert tensor(datatype, shape, data).values() == values


@pytest.mark.parametrize(("datatype", "shape", "data", "place", "message"), REFUSED, ids=lambda one: str(one)[:30])
def test_other_data_is_refused_naming_the_place(
    datatype: str, shape: list[int], data: Any, place: str, message: str
) -> None:
    with pytest.raises(RequestError) as caught:
        tensor(datatype, shape, data).values()
    assert (caught.value.status, caught.value.field) == (400, f"$.inputs[0].{place}")
    assert message in str(caught.value)
    assert str(caught.value).startswith("input 'x' ")
    assert len(str(caught.value)) < 500


@given(st.data(), st.sampled_from(sorted(_RANGES)))
def test_integers_of_their_range_survive_both_ways(data: st.DataObject, name: str) -> None:
    minimum, maximum = _RANGES[name]
    values = data.draw(st.lists(st.integers(minimum, maximum), min_size=1, max_size=20))
    shape = [len(values)]
    assert tensor(name, shape, values).values() == values
    assert tensor(name, shape, packed(values, DATATYPES[name])).values() == values


@given(st.data(), st.sampled_from(sorted(_FLOAT_BITS)))
def test_finite_floats_survive_both_ways(data: st.DataObject, name: str) -> None:
    one: st.SearchStrategy[float] = st.floats(allow_nan=False, allow_infinity=False, width=_FLOAT_BITS[name])  # type: ignore[arg-type]  # it is 16, 32 or 64
    values = data.draw(st.lists(one, min_size=1, max_size=20))
    shape = [len(values)]
    assert tensor(name, shape, values).values() == values
    assert tensor(name, shape, packed(values, DATATYPES[name])).values() == values


@given(st.lists(st.text(st.characters(codec="utf-8")), min_size=1, max_size=10))
def test_texts_survive_both_ways(texts: list[str]) -> None:
    assert tensor("BYTES", [len(texts)], texts).values() == texts
    read = tensor("BYTES", [len(texts)], packed(texts, DATATYPES["BYTES"])).values()
    assert [element.decode() for element in read] == texts


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_nested_and_flat_data_are_the_same(shape: list[int]) -> None:
    values = list(range(math.prod(shape)))
    rows = nested(values, shape)
    assert len(rows) == shape[0]
    assert tensor("INT32", shape, rows).values() == values


@given(st.sampled_from(sorted(DATATYPES)), st.lists(st.integers(1, 3), min_size=1, max_size=3), st.binary(max_size=64))
def test_any_bytes_are_values_or_a_clear_refusal(name: str, shape: list[int], data: bytes) -> None:
    values = outcome(tensor(name, shape, data).values)
    if isinstance(values, RequestError):
        assert values.status == 400
    else:
        assert len(values) == math.prod(shape)


@given(
    st.sampled_from(sorted(DATATYPES)),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
        max_leaves=10,
    ),
)
def test_any_json_is_values_or_a_clear_refusal(name: str, shape: list[int], data: Any) -> None:
    values = outcome(tensor(name, shape, data).values)
    if isinstance(values, RequestError):
        assert values.status == 400
        assert (values.field or "").startswith("$.inputs[0].data")
    else:
        assert len(values) == math.prod(shape)
