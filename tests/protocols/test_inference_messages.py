"""Bodies of the Open Inference Protocol: requests read, answers written."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import RequestError
from dilu.runtime.protocols.inference_messages import InferRequest, parse_request, write_answer
from dilu.runtime.protocols.tensor_results import Output, outputs_of
from dilu.runtime.protocols.tensors import DATATYPES
from protocols.outcomes import outcome

TENSOR = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}


def binary_tensor(size: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": size}}


def parse(body: Any, tail: bytes = b"") -> InferRequest:
    head = json.dumps(body).encode()
    return parse_request(head + tail, b"%d" % len(head) if tail else None)


REFUSED: list[tuple[Any, str, str]] = [
    ([], "$", "Expected `object`"),
    ({}, "$", "missing required field `inputs`"),
    ({"inputs": []}, "$.inputs", "length >= 1"),
    ({"inputs": [TENSOR] * 257}, "$.inputs", "length <= 256"),
    ({"inputs": [{**TENSOR, "name": ""}]}, "$.inputs[0].name", "length >= 1"),
    ({"inputs": [{**TENSOR, "name": 3}]}, "$.inputs[0].name", "Expected `str`"),
    ({"inputs": [{**TENSOR, "shape": []}]}, "$.inputs[0].shape", "length >= 1"),
    ({"inputs": [{**TENSOR, "shape": [1] * 9}]}, "$.inputs[0].shape", "length <= 8"),
    ({"inputs": [{**TENSOR, "shape": [0]}]}, "$.inputs[0].shape[0]", ">= 1"),
    ({"inputs": [{**TENSOR, "shape": [-1]}]}, "$.inputs[0].shape[0]", ">= 1"),
    ({"inputs": [{**TENSOR, "shape": [2**31]}]}, "$.inputs[0].shape[0]", "<= 2147483647"),
    ({"inputs": [{**TENSOR, "shape": [1.5]}]}, "$.inputs[0].shape[0]", "Expected `int`"),
    ({"inputs": [{**TENSOR, "shape": 1}]}, "$.inputs[0].shape", "Expected `array`"),
    (
        {"inputs": [{**TENSOR, "datatype": "FP8"}]},
        "$.inputs[0].datatype",
        "has the datatype 'FP8'; must be one of BOOL",
    ),
    ({"inputs": [{**TENSOR, "parameters": []}]}, "$.inputs[0].parameters", "Expected `object"),
    ({"inputs": [{key: TENSOR[key] for key in ("name", "shape", "datatype")}]}, "$.inputs[0].data", "has no data"),
    ({"inputs": [binary_tensor(-1)]}, "$.inputs[0].parameters.binary_data_size", ">= 0"),
    ({"inputs": [binary_tensor(4)]}, "$.inputs", "declare 4 bytes of binary data, the body has 0"),
    ({"inputs": [{**binary_tensor(4), "data": [1]}]}, "$.inputs[0].data", "both data and binary_data_size"),
    (
        {"inputs": [{**TENSOR, "parameters": {"shared_memory_region": "r"}}]},
        "$.inputs[0].parameters.shared_memory_region",
        "not supported",
    ),
    (
        {"inputs": [TENSOR], "outputs": [{"name": "y", "parameters": {"classification": 3}}]},
        "$.outputs[0].parameters.classification",
        "not supported",
    ),
    ({"inputs": [TENSOR], "outputs": [{"name": "y"}, {"name": "y"}]}, "$.outputs[1].name", "occurs twice"),
    ({"inputs": [TENSOR], "id": 3}, "$.id", "Expected `str | null`"),
    (
        {"inputs": [TENSOR], "parameters": {"binary_data_output": 1}},
        "$.parameters.binary_data_output",
        "Expected `bool`",
    ),
]


@pytest.mark.parametrize(("body", "field", "message"), REFUSED, ids=lambda one: str(one)[:40])
def test_a_request_that_breaks_a_rule_is_refused_naming_the_place(body: Any, field: str, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(body)
    assert (caught.value.status, caught.value.field) == (400, field)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("body", "header", "message"),
    [
        (b"", None, "the body is empty"),
        (b"{", None, "not JSON"),
        (b"\xff", None, "not JSON"),
        (b'{"inputs": ' + b"[" * 100_000, None, "nests too deeply"),
        (b"{}", b"3", "at most the body's 2"),
        (b"{}", b"-1", "must be a number"),
        (b"{}", b"1e3", "must be a number"),
        (b"{}", b"9" * 5000, "must be a number"),
        (b"{}", b"0", "the body is empty"),
        (b"{}x", None, "not JSON"),
    ],
    ids=str,
)
def test_bodies_and_headers_that_cannot_be_read_are_refused(body: bytes, header: bytes | None, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(body, header)
    assert caught.value.status == 400
    assert message in str(caught.value)


def test_what_follows_the_json_is_dealt_out_to_the_inputs_in_order() -> None:
    inputs = [{**binary_tensor(4), "name": name} for name in "ab"]
    request = parse({"inputs": [inputs[0], TENSOR, inputs[1]]}, struct.pack("<2f", 1.0, 2.0))
    assert [tensor.values() for tensor in request.tensors] == [[1.0], [1.0], [2.0]]
    with pytest.raises(RequestError, match="declare 8 bytes of binary data, the body has 12"):
        parse({"inputs": inputs}, bytes(12))


def test_unknown_fields_and_parameters_are_accepted() -> None:
    request = parse({"inputs": [TENSOR], "parameters": {"priority": 3}, "more": 1, "id": "7"})
    assert (request.id, request.outputs, request.wants_binary) == ("7", None, False)


def outputs() -> list[Output]:
    return outputs_of([{"a": 1.5, "b": "é"}])


def test_the_answer_holds_the_outputs_asked_for_in_their_order_and_the_id() -> None:
    request = parse({"inputs": [TENSOR], "id": "7", "outputs": [{"name": "b"}, {"name": "a"}]})
    answer = write_answer(request, outputs(), "m", "1")
    assert answer.json_size is None
    assert json.loads(answer.body) == {
        "model_name": "m",
        "model_version": "1",
        "id": "7",
        "outputs": [
            {"name": "b", "shape": [1], "datatype": "BYTES", "data": ["é"]},
            {"name": "a", "shape": [1], "datatype": "FP64", "data": [1.5]},
        ],
    }
    assert "id" not in json.loads(write_answer(parse({"inputs": [TENSOR]}), outputs(), "m", "1").body)


def test_outputs_are_binary_where_that_is_asked_for() -> None:
    body = {"inputs": [TENSOR], "parameters": {"binary_data_output": True}}
    answer = write_answer(parse(body), outputs(), "m", "1")
    assert answer.json_size is not None
    head = json.loads(answer.body[: answer.json_size])
    assert [one["parameters"] for one in head["outputs"]] == [{"binary_data_size": 8}, {"binary_data_size": 6}]
    assert answer.body[answer.json_size :] == struct.pack("<dI", 1.5, 2) + "é".encode()
    one = {**body, "outputs": [{"name": "a", "parameters": {"binary_data": False}}]}
    assert write_answer(parse(one), outputs(), "m", "1").json_size is None


def test_an_output_that_there_is_not_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        write_answer(parse({"inputs": [TENSOR], "outputs": [{"name": "z"}]}), outputs(), "m", "1")
    assert (caught.value.status, caught.value.field) == (400, "$.outputs[0].name")
    assert "this function has 'a', 'b'" in str(caught.value)


@pytest.mark.parametrize(
    ("output", "wants_binary", "message"),
    [
        (Output(name="y", datatype=DATATYPES["FP32"], shape=[1], values=[1e300]), True, "range of FP32"),
        (Output(name="y", datatype=DATATYPES["UINT8"], shape=[1], values=[300]), True, "range of UINT8"),
        (Output(name="y", datatype=DATATYPES["BYTES"], shape=[1], values=["\ud800"]), True, "UTF-8 cannot"),
        (Output(name="y", datatype=DATATYPES["BYTES"], shape=[1], values=[b"\xff"]), False, "request it with binary"),
    ],
    ids=lambda one: str(one)[-30:],
)
def test_values_that_the_answer_cannot_hold_are_the_functions_fault(
    output: Output, wants_binary: bool, message: str
) -> None:
    request = InferRequest(id=None, tensors=[], outputs=None, wants_binary=wants_binary)
    with pytest.raises(RequestError) as caught:
        write_answer(request, [output], "m", "1")
    assert caught.value.status == 500
    assert message in str(caught.value)


@given(st.binary(max_size=200), st.none() | st.binary(max_size=6))
def test_any_bytes_are_a_request_or_a_refusal(body: bytes, header: bytes | None) -> None:
    found = outcome(lambda: parse_request(body, header))
    assert not isinstance(found, RequestError) or found.status == 400
