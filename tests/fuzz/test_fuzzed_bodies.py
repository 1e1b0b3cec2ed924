"""Whatever comes as a body: a result, or a 4xx that names the place at fault."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.bad_bodies import TRAPS, bodies, is_json, near_reviews, reviews
from fuzz.fuzzed_functions import (
    CALL_PATHS,
    MAX_BODY_BYTES,
    PLAIN_PATHS,
    REVIEW_PATHS,
    RawAnswer,
    check_refusal,
    connected,
    request,
)
from replica_process import ReplicaProcess

EXAMPLES = 150
JSON = (b"Content-Type", b"application/json")


def post(replica: ReplicaProcess, path: str, body: bytes, *headers: tuple[bytes, bytes]) -> RawAnswer:
    with connected(replica.port) as client:
        client.send(request(path, body, *headers))
        answer = client.answer()
    assert answer is not None, (path, body)
    return answer


def check(path: str, body: bytes, answer: RawAnswer) -> None:
    """A 200 for what can be read, or a refusal with the field at fault where the body has one."""
    if answer.status == 200:
        assert is_json(body), (path, body)
        return
    error = check_refusal(path, answer)
    if path in PLAIN_PATHS:
        assert answer.status in (400, 422), (path, body, answer)
        assert error["code"] == "empty-body" or error["field"].startswith("$"), (path, body, answer)
        if not is_json(body):
            assert answer.status == 400, (path, body, answer)


@pytest.mark.parametrize("path", CALL_PATHS)
def test_every_known_trap_is_refused_or_read(fuzzed: ReplicaProcess, path: str) -> None:
    for body in TRAPS:
        check(path, body, post(fuzzed, path, body, JSON))


@settings(max_examples=EXAMPLES, deadline=None)
@given(path=st.sampled_from(CALL_PATHS), body=bodies)
def test_any_body_is_answered_with_a_result_or_a_refusal(fuzzed: ReplicaProcess, path: str, body: bytes) -> None:
    check(path, body, post(fuzzed, path, body, JSON))


@settings(max_examples=EXAMPLES, deadline=None)
@given(path=st.sampled_from(REVIEW_PATHS), review=reviews)
def test_what_the_type_allows_is_answered(fuzzed: ReplicaProcess, path: str, review: dict[str, Any]) -> None:
    assert post(fuzzed, path, json.dumps(review).encode()).status == 200


@settings(max_examples=EXAMPLES, deadline=None)
@given(path=st.sampled_from(REVIEW_PATHS), review=near_reviews)
def test_all_handlers_of_a_type_agree_on_what_is_refused_and_where(
    fuzzed: ReplicaProcess, path: str, review: dict[str, Any]
) -> None:
    body = json.dumps(review).encode()
    answer, other = post(fuzzed, path, body), post(fuzzed, REVIEW_PATHS[0], body)
    assert answer.status == other.status
    if other.status != 200:
        fields = [check_refusal(path, one).get("field") for one in (answer, other)]
        assert fields[0] == fields[1]


WRONG = [
    ({"text": 1}, "$.text"),
    ({}, "$"),
    ([], "$"),
    ({"text": "a", "stars": 6}, "$.stars"),
    ({"text": "a", "stars": "1"}, "$.stars"),
    ({"text": "a", "weight": None}, "$.weight"),
    ({"text": "a", "tags": ["b", 2]}, "$.tags[1]"),
    ({"text": "a", "scores": {"x": []}}, "$.scores[...]"),
    ({"text": "a", "language": "de"}, "$.language"),
    ({"text": "a", "answer_to": {"text": "b", "answer_to": {"text": False}}}, "$.answer_to.answer_to.text"),
]


@pytest.mark.parametrize("path", REVIEW_PATHS)
def test_the_field_at_fault_is_named(fuzzed: ReplicaProcess, path: str) -> None:
    for item, field in WRONG:
        answer = post(fuzzed, path, json.dumps(item).encode())
        assert (answer.status, check_refusal(path, answer)["field"]) == (422, field), item


def test_one_bad_item_spares_the_batch_that_it_came_with(fuzzed: ReplicaProcess) -> None:
    good, bad = b'{"text": "abc"}', b'{"text": 1}'
    with connected(fuzzed.port) as first, connected(fuzzed.port) as second, connected(fuzzed.port) as third:
        for client, body in ((first, good), (second, bad), (third, good)):
            client.send(request("/batched", body))
        answers = [client.answer() for client in (first, second, third)]
    assert [answer and answer.status for answer in answers] == [200, 422, 200]


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    path=st.sampled_from(CALL_PATHS),
    encoding=st.sampled_from([b"gzip", b"br", b"identity", b"nonsense"]),
    kind=st.sampled_from(
        [b"application/json", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/x", b"\xff"]
    ),
    body=bodies,
)
def test_content_headers_do_not_matter_to_that(
    fuzzed: ReplicaProcess, path: str, encoding: bytes, kind: bytes, body: bytes
) -> None:
    answer = post(fuzzed, path, body, (b"Content-Encoding", encoding), (b"Content-Type", kind))
    if answer.status != 200:
        check_refusal(path, answer)


def test_a_body_of_the_largest_size_is_read_and_one_more_byte_is_refused(fuzzed: ReplicaProcess) -> None:
    body = b'{"text": "' + b"a" * (MAX_BODY_BYTES - 12) + b'"}'
    assert len(body) == MAX_BODY_BYTES
    for path in REVIEW_PATHS:
        assert post(fuzzed, path, body).status == 200
        assert post(fuzzed, path, body + b" ").status == 413
