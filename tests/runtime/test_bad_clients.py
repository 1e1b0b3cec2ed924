"""Clients that send rubbish, too much, too slowly or never: a 4xx or a closed connection, and the others are served."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dilu.errors import RequestError
from dilu.http import answers
from dilu.http import bounded_protocol as protocol
from dilu.http.answers import read_body, send_error, send_json
from dilu.http.listener import Listener, bind
from replica_process import ReplicaProcess, serving, wait_until

OK = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n1"


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProcess]:
    folder: Path = tmp_path_factory.mktemp("bad-clients")
    with serving(folder) as start:
        yield start("import dilu\n@dilu.function(max_body_bytes=100_000)\ndef f(x: object): return 1\n")


def exchange(port: int, *pieces: bytes) -> bytes:
    """Send the pieces and read until the server closes or one answer is complete."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as connection:
        for piece in pieces:
            connection.sendall(piece)
        received = b""
        while b"\r\n\r\n" not in received or len(received.partition(b"\r\n\r\n")[2]) < _length(received):
            data = connection.recv(65536)
            if not data:
                break
            received += data
        return received


def _length(received: bytes) -> int:
    head = received.partition(b"\r\n\r\n")[0].lower()
    return int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)


def status(received: bytes) -> int:
    return int(received.split(b" ", 2)[1])


MANY = b"".join(b"X-%d: 1\r\n" % number for number in range(200))
RAW = [
    ("garbage", [b"\x00\x01\x02 nonsense\r\n\r\n"], 400),
    ("TLS on a plain port", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300], 400),
    ("too many headers", [b"POST / HTTP/1.1\r\n" + MANY + b"\r\n"], 431),
    ("one huge header", [b"POST / HTTP/1.1\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"], 431),
    ("an endless header name", [b"POST / HTTP/1.1\r\n", *[b"a" * 10_000] * 8], 431),
    ("an endless request line", [b"GET /", *[b"a" * 10_000] * 8], 431),
    ("a negative length", [b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n"], 400),
    ("two lengths", [b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n1"], 400),
    (
        "a length and chunks",
        [b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        400,
    ),
    ("a chunk without a size", [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"], 400),
    ("a body announced too large", [b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"], 413),
    (
        "chunks that grow too large",
        [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"2710\r\n" + b"1" * 10_000 + b"\r\n"] * 11],
        413,
    ),
    ("a query outside ASCII", [b"GET /x?\xff HTTP/1.1\r\nHost: a\r\n\r\n"], 400),
    ("a path outside ASCII", [b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n"], 400),
    ("an unknown method", [b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"], 400),
    ("an upgrade we do not speak", [b"GET /x HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"], 404),
    ("chunks of a valid body", [b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\n\r\n"], 200),
]


@pytest.mark.parametrize(("name", "pieces", "want"), RAW, ids=[case[0] for case in RAW])
def test_what_is_not_a_fair_request_is_refused(
    replica: ReplicaProcess, name: str, pieces: list[bytes], want: int
) -> None:
    assert status(exchange(replica.port, *pieces)) == want, name
    assert replica.post(1).status == 200


def test_a_large_body_is_refused_in_a_way_that_its_sender_can_read(replica: ReplicaProcess) -> None:
    """The sender continues to send; the answer must not be lost in a reset."""
    answer = replica.request("POST", "/", b"1" * 20_000_000)
    assert (answer.status, answer.json()["error"]["code"]) == (413, "body-too-large")


def test_a_body_cut_short_leaves_nothing_behind(replica: ReplicaProcess) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12")
        wait_until(lambda: replica.stats()["in_flight"] == 1, "the request has begun")
    wait_until(lambda: replica.stats()["in_flight"] == 0, "it is forgotten")


def test_pipelined_requests_are_answered_in_order(replica: ReplicaProcess) -> None:
    with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
        connection.sendall(OK * 3 + b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        while data := connection.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 200 OK") == 4
    assert received.rstrip().endswith(b'{"state":"ready"}')


def test_a_thousand_bad_requests_do_not_grow_the_replica(replica: ReplicaProcess) -> None:
    import psutil

    process = psutil.Process(replica.process.pid)
    bad = [pieces for _, pieces, want in RAW if want == 400]
    for number in range(200):
        exchange(replica.port, *bad[number % len(bad)])
    before = process.memory_info().rss
    for number in range(1000):
        exchange(replica.port, *bad[number % len(bad)])
    assert process.memory_info().rss - before < 8 * 1024 * 1024
    assert process.num_fds() < 50


# -- time limits, in this process so that the test can shorten them


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    try:
        await send_json(send, 200, await read_body(scope, receive, 1000))
    except RequestError as error:
        await send_error(send, error, "id")


@asynccontextmanager
async def listening() -> AsyncIterator[int]:
    listener = Listener(_echo, bind("127.0.0.1", 0))
    await listener.start()
    try:
        yield listener.port
    finally:
        await listener.close(1.0)


async def _answer_to(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.transport.abort()


def _timed(data: bytes) -> bytes:
    async def run() -> bytes:
        async with listening() as port:
            return await _answer_to(port, data)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("data", "want"),
    [(b"POST / HTTP/1.1\r\nHost", 408), (OK + b"POST /", 200), (b"", None)],
    ids=["half a head", "half a second head", "nothing"],
)
def test_a_head_that_does_not_come_ends_its_connection(
    monkeypatch: pytest.MonkeyPatch, data: bytes, want: int | None
) -> None:
    monkeypatch.setattr(protocol, "HEAD_TIMEOUT_S", 0.2)
    received = _timed(data)
    assert (status(received) if received else None) == want
    if data.endswith(b"POST /"):
        assert b"HTTP/1.1 408" in received


def test_a_body_that_does_not_come_is_answered_408(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BODY_TIMEOUT_S", 0.2)
    received = _timed(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 10\r\n\r\n12")
    assert status(received) == 408
    assert b"the body did not arrive within 0.2 s" in received


def test_what_follows_a_refusal_is_discarded_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_DISCARDED_BYTES", 10_000)

    async def run() -> int:
        async with listening() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
            try:
                return await _write_until_cut(writer)
            finally:
                writer.transport.abort()

    assert asyncio.run(run()) < 9_999


async def _write_until_cut(writer: asyncio.StreamWriter) -> int:
    for pieces in range(10_000):
        try:
            writer.write(b"1" * 10_000)
            await writer.drain()
        except ConnectionError:
            return pieces
        await asyncio.sleep(0.001)
    return 10_000


# -- found by an attacker


def test_a_wish_to_upgrade_is_ignored_and_its_body_is_kept(replica: ReplicaProcess) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n"
    body = b'{"a": [1, 2, 3]}'
    for pieces in (
        [head + b"Content-Length: 16\r\n\r\n" + body],
        [head + b"Content-Length: 16\r\n\r\n", body],
        [head + b"Content-Length: 16\r\n\r\n", body[:5], body[5:]],
        [head + b"Transfer-Encoding: chunked\r\n\r\n10\r\n" + body + b"\r\n0\r\n\r\n"],
    ):
        assert status(exchange(replica.port, *pieces)) == 200


def test_the_body_of_such_a_request_is_never_taken_for_a_request(replica: ReplicaProcess) -> None:
    inner = b"GET /v1/stats HTTP/1.1\r\nHost: a\r\n\r\n"
    outer = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
        connection.sendall(outer % len(inner))
        connection.sendall(inner)
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        received = b""
        while data := connection.recv(65536):
            received += data
    assert received.count(b"HTTP/1.1 ") == 2
    assert b"arrivals_rps" not in received


def test_a_flood_of_trailers_is_refused(replica: ReplicaProcess) -> None:
    begin = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\nX-Trail: "
    with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
        connection.sendall(begin)
        assert _cut_within(connection, b"a" * 10_000, 1000)


def test_trailers_do_not_become_headers(replica: ReplicaProcess) -> None:
    request = (
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n7\r\n0\r\nX-Request-Id: forged\r\n\r\n"
    )
    received = exchange(replica.port, request)
    assert status(received) == 200
    assert b"forged" not in received


def test_a_body_that_never_begins_does_not_hold_a_drain(tmp_path: Path) -> None:
    with serving(tmp_path) as start:
        replica = start("import dilu\n@dilu.function\ndef f(x: object): return 1\n")
        with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            wait_until(lambda: replica.stats()["in_flight"] == 1, "the request has begun")
            replica.terminate()
            assert replica.process.wait(10) == 0


def test_an_answer_that_is_never_read_does_not_hold_a_drain(tmp_path: Path) -> None:
    with serving(tmp_path) as start:
        replica = start("import dilu\n@dilu.function\ndef f(x: object): return 'x' * 30_000_000\n")
        with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
            connection.sendall(OK)
            wait_until(lambda: replica.stats()["totals"]["completed"] == 1, "the answer is written")
            replica.terminate()
            assert replica.process.wait(10) == 0


def test_garbage_behind_a_request_waits_for_its_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as start:
        replica = start(
            "import time, dilu\n@dilu.function\ndef f(x: object):\n    time.sleep(0.3)\n    return 'done'\n"
        )
        with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as connection:
            connection.sendall(OK + b"\x00\x01 nonsense\r\n\r\n")
            received = b""
            while data := connection.recv(65536):
                received += data
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b'"done"' in received
    assert received.index(b'"done"') < received.index(b"HTTP/1.1 400 ")


def test_requests_of_clients_that_left_are_not_run(tmp_path: Path) -> None:
    with serving(tmp_path) as start:
        replica = start("import time, dilu\n@dilu.function\ndef f(x: int):\n    time.sleep(0.2)\n    return x\n")
        connections = [socket.create_connection(("127.0.0.1", replica.port), timeout=10) for _ in range(20)]
        for connection in connections:
            connection.sendall(OK)
        wait_until(lambda: replica.stats()["in_flight"] == 20, "all are in flight")
        for connection in connections:
            connection.close()
        assert replica.post(5, timeout_s=10).status == 200
        totals = replica.stats()["totals"]
        assert totals["completed"] <= 4, "the one that ran, and the one that was waited for"
        assert replica.stats()["in_flight"] == 0


def _cut_within(connection: socket.socket, piece: bytes, pieces: int) -> bool:
    for _ in range(pieces):
        try:
            connection.sendall(piece)
        except ConnectionError:
            return True
    return False
