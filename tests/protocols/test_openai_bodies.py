"""Bodies of OpenAI's routes: what is read, refused and written."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.chat import ChatMessage, ChatRequest, ChatResult
from dilu.errors import RequestError
from dilu.runtime.protocols.chat_messages import ChatWriter, parse_chat, result_of
from dilu.runtime.protocols.openai_common import check_model, error_body
from dilu.runtime.protocols.openai_embeddings import base64_vector, plain_vector
from protocols.outcomes import outcome

USER = {"role": "user", "content": "hi"}


def parse(**fields: Any) -> Any:
    return parse_chat(json.dumps({"model": "m", "messages": [USER], **fields}).encode())


def test_a_request_becomes_a_chat_request() -> None:
    chat = parse(
        messages=[
            {"role": "system", "content": [{"type": "text", "text": "be "}, {"type": "text", "text": "kind"}]},
            {"role": "assistant", "content": None, "name": "bot"},
            {"role": "assistant"},
        ],
        max_tokens=5,
        temperature=0.5,
        top_p=1,
        stop=["a", "b"],
        seed=-3,
        user="ignored",
        frequency_penalty=1.0,
    )
    assert chat.item == ChatRequest(
        messages=[
            ChatMessage(role="system", content="be kind"),
            ChatMessage(role="assistant", content="", name="bot"),
            ChatMessage(role="assistant", content=""),
        ],
        model="m",
        max_tokens=5,
        temperature=0.5,
        top_p=1.0,
        stop=("a", "b"),
        seed=-3,
    )
    assert (chat.is_stream, chat.includes_usage) == (False, False)


def test_the_new_name_of_max_tokens_and_a_single_stop_are_taken() -> None:
    item = parse(max_completion_tokens=7, max_tokens=5, stop="x").item
    assert (item.max_tokens, item.stop) == (7, ("x",))


def test_what_asks_for_nothing_special_is_taken() -> None:
    chat = parse(n=1, tools=[], logprobs=False, response_format={"type": "text"}, stop=None, stream=None)
    assert chat.item == ChatRequest(messages=[ChatMessage(role="user", content="hi")], model="m")
    chat = parse(stream=True, stream_options={"include_usage": True})
    assert (chat.is_stream, chat.includes_usage) == (True, True)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"model": 3}, "$.model"),
    ({"messages": []}, "$.messages"),
    ({"messages": "hi"}, "$.messages"),
    ({"messages": [{"content": "hi"}]}, "$.messages[0]"),
    ({"messages": [{"role": "wizard", "content": "hi"}]}, "$.messages[0].role"),
    ({"messages": [{"role": "user", "content": 3}]}, "$.messages[0].content"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        "messages[0].content[0].type",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].type"),
    ({"n": 2}, "n"),
    ({"n": 0}, "n"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"functions": [{}]}, "functions"),
    ({"logprobs": True}, "logprobs"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"temperature": -0.1}, "$.temperature"),
    ({"temperature": 2.1}, "$.temperature"),
    ({"temperature": "hot"}, "$.temperature"),
    ({"top_p": 1.1}, "$.top_p"),
    ({"max_tokens": 0}, "$.max_tokens"),
    ({"max_tokens": 10**30}, "$.max_tokens"),
    ({"seed": 2**63}, "$.seed"),
    ({"stop": [3]}, "$.stop[0]"),
    ({"stream": "yes"}, "$.stream"),
    ({"stream_options": True}, "$.stream_options"),
]


@pytest.mark.parametrize(("fields", "field"), REFUSED, ids=str)
def test_what_cannot_be_served_is_refused_by_name(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(**fields)
    assert (caught.value.status, caught.value.field) == (400, field)


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"messages":' + b"[" * 100_000, b'{"seed": NaN}'], ids=str)
def test_bodies_that_cannot_be_read_are_refused(body: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_chat(body)
    assert caught.value.status == 400


@given(st.dictionaries(st.sampled_from(["model", "messages", "n", "stop", "seed", "tools"]), st.text() | st.integers()))
def test_any_fields_are_a_chat_or_a_refusal(fields: dict[str, Any]) -> None:
    found = outcome(lambda: parse(**fields))
    if isinstance(found, RequestError):
        assert (found.status, found.field is not None) == (400, True)


def test_errors_have_openais_form() -> None:
    cases = [
        (
            RequestError(400, "invalid-type", "no", field="$.messages[0].role"),
            "invalid_request_error",
            "messages[0].role",
        ),
        (RequestError(400, "invalid-json", "no", field="$"), "invalid_request_error", None),
        (RequestError(404, "model_not_found", "no", field="model"), "invalid_request_error", "model"),
        (RequestError(429, "queue-full", "no"), "rate_limit_error", None),
        (RequestError(503, "draining", "no"), "server_error", None),
    ]
    for error, kind, param in cases:
        assert json.loads(error_body(error, "id")) == {
            "error": {"message": "no", "type": kind, "param": param, "code": error.code}
        }


def test_only_the_functions_own_name_is_a_model() -> None:
    check_model("embed", "embed")
    with pytest.raises(RequestError, match=r"the model 'x{77}\.\.\.' does not exist; the model is 'embed'") as caught:
        check_model("x" * 1000, "embed")
    assert caught.value.status == 404


@pytest.mark.parametrize(
    "result", [[0.5, 1], (0.5, 1), np.array([0.5, 1], dtype=np.float32), [np.float32(0.5), np.int64(1)]], ids=str
)
def test_vectors_are_lists_of_numbers_or_base64_of_floats(result: Any) -> None:
    assert plain_vector(result) == [0.5, 1]
    assert struct.unpack("<2f", base64.b64decode(base64_vector(result))) == (0.5, 1.0)


@pytest.mark.parametrize(
    "result", [None, "text", 0.5, [[0.5]], ["a"], [None], [True], {"a": 1}, np.float32(1)], ids=str
)
def test_results_that_are_no_vectors_are_the_functions_fault(result: Any) -> None:
    for write in (plain_vector, base64_vector):
        with pytest.raises(RequestError, match="an embedding is a list of numbers") as caught:
            write(result)
        assert caught.value.status == 500


def test_numbers_that_base64_cannot_state_are_the_functions_fault() -> None:
    for number in (1e300, 10**400):
        with pytest.raises(RequestError, match="32-bit"):
            base64_vector([number])


def test_chat_results_are_texts_or_say_more() -> None:
    assert result_of("hi") == ChatResult(text="hi", finish_reason="stop")
    more = ChatResult(text="hi", finish_reason="length", prompt_tokens=3, completion_tokens=4)
    assert result_of(more) is more
    with pytest.raises(RequestError, match="the function returned a dict, must be str or"):
        result_of({"text": "hi"})


def test_an_answer_is_written_whole_or_in_chunks() -> None:
    writer = ChatWriter("r1", "m")
    result = ChatResult(text="hi", finish_reason="length", prompt_tokens=3, completion_tokens=4)
    whole = json.loads(writer.whole(result))
    assert (whole["id"], whole["object"], whole["model"]) == ("chatcmpl-r1", "chat.completion", "m")
    assert whole["choices"][0]["message"] == {"role": "assistant", "content": "hi"}
    assert whole["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    chunks = [json.loads(one) for one in (writer.first(), writer.delta("hi"), writer.last(result))]
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "hi"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, "length"]
    assert {chunk["id"] for chunk in chunks} == {"chatcmpl-r1"}
    usage = json.loads(writer.usage(result))
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 7)
