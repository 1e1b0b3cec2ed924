"""Headers of requests and answers as they leave the gateway."""

from __future__ import annotations

import pytest

from dilu_autoscaler.local.headers import answer_headers, header, read_head

Headers = list[tuple[bytes, bytes]]


def _sent(headers: Headers, *, method: str = "POST", size: int = 2) -> list[bytes]:
    head = read_head(headers, "10.0.0.1", "http").to_bytes(method, b"/x", b"q=1", size)
    assert head.endswith(b"\r\n\r\n")
    return head[:-4].split(b"\r\n")


def test_headers_of_one_connection_stay_behind() -> None:
    sent = _sent(
        [
            (b"host", b"embed.localhost"),
            (b"connection", b"X-Secret, keep-alive"),
            (b"x-secret", b"1"),
            (b"upgrade", b"h2c"),
            (b"transfer-encoding", b"chunked"),
            (b"expect", b"100-continue"),
            (b"accept", b"text/event-stream"),
            (b"x-request-id", b"mine"),
        ]
    )
    assert sent == [
        b"POST /x?q=1 HTTP/1.1",
        b"host: embed.localhost",
        b"accept: text/event-stream",
        b"x-request-id: mine",
        b"x-forwarded-for: 10.0.0.1",
        b"x-forwarded-proto: http",
        b"content-length: 2",
    ]


def test_the_host_cannot_be_named_away() -> None:
    assert b"host: a" in _sent([(b"host", b"a"), (b"connection", b"host")])


def test_names_with_an_underscore_stay_behind() -> None:
    sent = _sent([(b"x_forwarded_for", b"6.6.6.6"), (b"x_request_id", b"theirs"), (b"x-a", b"b_c")])
    assert b"x-a: b_c" in sent
    assert not [line for line in sent if b"_" in line.partition(b":")[0]]


def test_a_request_without_a_body_says_no_length() -> None:
    assert not [line for line in _sent([], method="GET", size=0) if line.startswith(b"content-length")]
    assert b"content-length: 0" in _sent([], method="POST", size=0)


def test_a_chain_of_proxies_is_kept() -> None:
    sent = _sent([(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2"), (b"x-forwarded-proto", b"https")])
    assert b"x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.1" in sent
    assert b"x-forwarded-proto: http" in sent


@pytest.mark.parametrize("unusable", [b"", b"x" * 129, b"\xff", b"a\tb"])
def test_an_id_that_cannot_be_used_is_replaced(unusable: bytes) -> None:
    head = read_head([(b"x-request-id", unusable)], "10.0.0.1", "http")
    assert head.request_id
    assert head.request_id.encode() != unusable
    assert head.request_id != read_head([], "10.0.0.1", "http").request_id


def test_answers_keep_what_is_the_functions_own() -> None:
    kept = answer_headers(
        [
            (b"Content-Type", b"application/json"),
            (b"Set-Cookie", b"a=1"),
            (b"Set-Cookie", b"b=2"),
            (b"Connection", b"close, X-Hop"),
            (b"X-Hop", b"1"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Date", b"today"),
            (b"X-Request-Id", b"theirs"),
        ],
        "mine",
        200,
    )
    assert kept == [
        (b"content-type", b"application/json"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"x-request-id", b"mine"),
    ]


def test_an_answer_without_a_body_has_no_length() -> None:
    assert answer_headers([(b"Content-Length", b"9")], "id", 304) == [(b"x-request-id", b"id")]


def test_a_header_is_found_in_any_case() -> None:
    assert header([(b"Dilu-Refused", b"draining")], b"dilu-refused") == b"draining"
    assert header([], b"dilu-refused") is None
