"""Whatever comes as a head, in chunks, in pieces or one behind the other: answers in order, and nothing left behind."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.bad_bodies import bodies
from fuzz.fuzzed_functions import CALL_PATHS, PLAIN_PATHS, check_refusal, connected, request
from replica_process import ReplicaProcess, wait_until

EXAMPLES = 150
GOOD = b'{"text": "abc"}'
ID = b"X-Request-Id"

_KNOWN = (
    b"X-Request-Id",
    b"X-Call-Id",
    b"X-Request-Timeout-Ms",
    b"X-Envoy-Expected-Rq-Timeout-Ms",
    b"Priority",
    b"traceparent",
    b"tracestate",
    b"baggage",
    b"Accept",
    b"Content-Type",
    b"Content-Encoding",
    b"Expect",
    b"Connection",
    b"Upgrade",
    b"Range",
    b"Forwarded",
    b"X-Forwarded-For",
    b"Authorization",
    b"ce-id",
    b"ce-source",
    b"ce-type",
    b"ce-specversion",
    b"ce-time",
    b"ce-dataschema",
    b"Inference-Header-Content-Length",
)
_ODD_VALUES = (
    b"",
    b"0",
    b"-1",
    b"1e999",
    b"nan",
    b"1" * 400,
    b"u=9",
    b"u=0, i",
    b"100-continue",
    b"close",
    b"*/*",
    b"\xff" * 20,
    b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    b"00-00000000000000000000000000000000-0000000000000000-ff",
    b"application/cloudevents+json",
    b"application/cloudevents-batch+json",
    b"1.0",
    b"a" * 5_000,
)
_ODD_TARGETS = (
    "/",
    "//",
    "*",
    "/single/",
    "/single?a=%ff",
    "/%ff",
    "/%00",
    "/../single",
    "/v2",
    "/v2/models/none/infer",
    "/v2/models/%2e%2e/infer",
    "/v1/models/x",
    "http://a/single",
    "http://a:999999/",
    "/openapi.json",
    "/docs",
    "/metrics",
)
_METHODS = (b"POST", b"GET", b"PUT", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH", b"TRACE", b"CONNECT", b"PRI")
_values = st.binary(max_size=30) | st.sampled_from(_ODD_VALUES)
_headers = st.lists(st.tuples(st.sampled_from(_KNOWN) | st.binary(max_size=12), _values), max_size=6)
_printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
_targets = st.sampled_from(CALL_PATHS + _ODD_TARGETS) | _printable


@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(method=st.sampled_from(_METHODS), target=_targets, headers=_headers)
def test_any_head_is_answered_or_its_connection_ends(
    fuzzed: ReplicaProcess, method: bytes, target: str, headers: list[tuple[bytes, bytes]]
) -> None:
    with connected(fuzzed.port) as client:
        client.send(request(target, GOOD, *headers, method=method))
        answer = None if method == b"HEAD" else client.answer()
    if answer is not None:
        assert answer.status < 500, answer


@settings(max_examples=EXAMPLES, deadline=None)
@given(path=st.sampled_from(PLAIN_PATHS), headers=st.lists(st.tuples(st.sampled_from(_KNOWN), _values), max_size=6))
def test_known_headers_with_odd_values_are_refused_in_words(
    fuzzed: ReplicaProcess, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    clean = [(name, value.translate(None, b"\r\n\0")) for name, value in headers]
    with connected(fuzzed.port) as client:
        client.send(request(path, GOOD, *clean))
        answer = client.answer()
    assert answer is not None
    if answer.status == 400 and answer.headers["content-type"].startswith("text/plain"):
        return  # the parser's own: not even a request
    if answer.status == 504:
        return  # a time limit that was too short for it
    if answer.status != 200:
        check_refusal(path, answer)


_calls = st.lists(st.tuples(st.sampled_from(PLAIN_PATHS), bodies | st.just(GOOD)), min_size=1, max_size=12)


@settings(max_examples=EXAMPLES, deadline=None)
@given(calls=_calls, cuts=st.lists(st.integers(0, 5_000), max_size=6))
def test_pipelined_requests_are_answered_each_and_in_order(
    fuzzed: ReplicaProcess, calls: list[tuple[str, bytes]], cuts: list[int]
) -> None:
    data = b"".join(request(path, body, (ID, b"n-%d" % number)) for number, (path, body) in enumerate(calls))
    edges = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    with connected(fuzzed.port) as client:
        for start, end in pairwise(edges):
            client.send(data[start:end])
        answers = [client.answer() for _ in calls]
    assert [answer and answer.headers["x-request-id"] for answer in answers] == [f"n-{n}" for n in range(len(calls))]
    assert all(answer is not None and answer.status in (200, 400, 422) for answer in answers)


def _chunked(body: bytes, sizes: list[int]) -> bytes:
    data, rest = b"", body
    for size in sizes:
        if piece := rest[:size]:
            data += b"%x;a=b\r\n%b\r\n" % (len(piece), piece)
        rest = rest[size:]
    if rest:
        data += b"%x\r\n%b\r\n" % (len(rest), rest)
    return data + b"0\r\nTrailer: 1\r\n\r\n"


def _chunked_request(path: str, body: bytes, sizes: list[int]) -> bytes:
    head = b"POST %b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" % path.encode()
    return head + _chunked(body, sizes)


@settings(max_examples=EXAMPLES, deadline=None)
@given(path=st.sampled_from(PLAIN_PATHS), body=bodies, sizes=st.lists(st.integers(1, 50), max_size=8))
def test_a_chunked_body_is_the_same_body(fuzzed: ReplicaProcess, path: str, body: bytes, sizes: list[int]) -> None:
    with connected(fuzzed.port) as client:
        client.send(_chunked_request(path, body, sizes))
        chunked = client.answer()
        client.send(request(path, body))
        whole = client.answer()
    assert chunked is not None
    assert whole is not None
    assert (chunked.status, _without_id(chunked.body)) == (whole.status, _without_id(whole.body))


def _without_id(body: bytes) -> Any:
    try:
        content = json.loads(body)
    except ValueError:  # server-sent events
        return body
    if isinstance(content, dict) and isinstance(error := content.get("error"), dict):
        error.pop("request_id", None)
    return content


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    path=st.sampled_from(CALL_PATHS),
    sizes=st.lists(st.integers(1, 50), max_size=8),
    body=bodies,
    cut=st.integers(0, 10_000),
    goes_at_once=st.booleans(),
)
def test_a_request_cut_short_is_forgotten(
    fuzzed: ReplicaProcess, path: str, sizes: list[int], body: bytes, cut: int, goes_at_once: bool
) -> None:
    data = _chunked_request(path, body, sizes)
    with connected(fuzzed.port) as client:
        client.send(data[: cut % len(data)])
        if not goes_at_once:
            client.finish_sending()
            answer = client.answer()
            assert answer is None or answer.status < 500
    wait_until(lambda: fuzzed.stats()["in_flight"] == 0, "nothing is in flight")


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.binary(max_size=200), after_a_request=st.booleans())
def test_bytes_that_are_no_request_get_a_4xx_or_nothing(
    fuzzed: ReplicaProcess, data: bytes, after_a_request: bool
) -> None:
    with connected(fuzzed.port) as client:
        client.send((request("/single", GOOD) if after_a_request else b"") + data)
        if after_a_request:
            answer = client.answer()
            assert answer is not None
            assert answer.status == 200
        client.finish_sending()  # not before: who closes wants no answer
        last = client.answer()
        assert last is None or 400 <= last.status < 500
