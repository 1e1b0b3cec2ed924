"""From a handler's results to the tensors of an answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import RequestError
from dilu.runtime.protocols.tensor_results import outputs_of


@dataclass
class Label:
    name: str
    score: float


class Scored(msgspec.Struct, rename="camel"):
    best_score: float


class Model(pydantic.BaseModel):
    n: int


class Color(enum.Enum):
    RED = "red"


F32 = np.float32
USABLE: list[tuple[list[Any], list[tuple[str, str, list[int], list[Any]]]]] = [
    ([1.5, 2.5], [("output", "FP64", [2], [1.5, 2.5])]),
    ([1, 2], [("output", "INT64", [2], [1, 2])]),
    ([1, 2.5], [("output", "FP64", [2], [1.0, 2.5])]),
    ([2**63, 0], [("output", "UINT64", [2], [2**63, 0])]),
    ([True], [("output", "BOOL", [1], [True])]),
    (["a", "b"], [("output", "BYTES", [2], ["a", "b"])]),
    ([b"\xff"], [("output", "BYTES", [1], [b"\xff"])]),
    ([Color.RED], [("output", "BYTES", [1], ["red"])]),
    ([[1.0, 2.0], (3.0, 4.0)], [("output", "FP64", [2, 2], [1.0, 2.0, 3.0, 4.0])]),
    ([[[1], [2]]], [("output", "INT64", [1, 2, 1], [1, 2])]),
    ([[], []], [("output", "FP64", [2, 0], [])]),
    ([np.array([1, 2], dtype=F32)] * 2, [("output", "FP32", [2, 2], [1.0, 2.0, 1.0, 2.0])]),
    ([np.zeros((2, 2), dtype=np.uint8)], [("output", "UINT8", [1, 2, 2], [0, 0, 0, 0])]),
    ([np.float16(0.5)], [("output", "FP16", [1], [0.5])]),
    ([[F32(0.5), F32(1)]], [("output", "FP32", [1, 2], [0.5, 1.0])]),
    ([np.array(3)], [("output", "INT64", [1], [3])]),
    ([np.array(["a", "b"])], [("output", "BYTES", [1, 2], ["a", "b"])]),
    ([[np.array([1], dtype=F32)]], [("output", "FP32", [1, 1, 1], [1.0])]),
    ([np.array([1.0], dtype=F32), [2.0]], [("output", "FP32", [2, 1], [1.0, 2.0])]),
    ([{"a": 1, "b": [0.5]}], [("a", "INT64", [1], [1]), ("b", "FP64", [1, 1], [0.5])]),
    ([Label("x", 0.5), Label("y", 1.0)], [("name", "BYTES", [2], ["x", "y"]), ("score", "FP64", [2], [0.5, 1.0])]),
    ([Scored(0.5)], [("bestScore", "FP64", [1], [0.5])]),
    ([Model(n=1)], [("n", "INT64", [1], [1])]),
]
UNUSABLE: list[tuple[list[Any], str]] = [
    ([[1.0], [1.0, 2.0]], "rows of different lengths [1, 2]; send one item per request"),
    ([[1.0], 2.0], "rows of different depths"),
    ([1.0, [2.0]], "has float and list"),
    ([None], "has NoneType"),
    (["a", 1], "has int and str"),
    ([2**64], "more than 64 bits"),
    ([-1, 2**63], "more than 64 bits"),
    ([{"a": 1}, {"b": 1}], "different fields"),
    ([{"a": 1}, 1], "different fields"),
    ([{"a": {"b": 1}}], "'a' has dict"),
    ([1j], "has complex"),
]


@pytest.mark.parametrize(("results", "wanted"), USABLE, ids=lambda one: str(one)[:40])
def test_results_become_tensors(results: list[Any], wanted: list[tuple[str, str, list[int], list[Any]]]) -> None:
    outputs = outputs_of(results)
    assert [(one.name, one.datatype.name, one.shape, one.values) for one in outputs] == wanted
    assert [list(map(type, one.values)) for one in outputs] == [list(map(type, one[3])) for one in wanted]


@pytest.mark.parametrize(("results", "message"), UNUSABLE, ids=lambda one: str(one)[:40])
def test_results_that_are_no_tensors_are_the_functions_fault(results: list[Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        outputs_of(results)
    assert (caught.value.status, caught.value.code) == (500, "unusable-result")
    assert message in str(caught.value)


def test_a_list_within_itself_ends() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(RequestError, match="more than 32 deep"):
        outputs_of([endless])


@given(st.lists(st.lists(st.floats(), min_size=3, max_size=3), min_size=1, max_size=5))
def test_the_shape_states_as_many_values_as_there_are(results: list[list[float]]) -> None:
    (output,) = outputs_of(results)
    assert output.shape == [len(results), 3]
    assert len(output.values) == len(results) * 3
