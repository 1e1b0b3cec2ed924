"""Streaming handlers: parts come as they are made, and end when the client disconnects."""

from __future__ import annotations

import json
import socket
import time
from http.client import HTTPConnection
from typing import Any

import pytest

from replica_process import ReplicaProcess, ServeFunction, wait_until

WORDS = """
    import dilu

    @dilu.function(example="a b")
    class Words:
        def load(self):
            self.closed = 0
        def predict(self, text: str):
            for word in text.split():
                if word == "fail":
                    raise ValueError("secret")
                if word == "refuse":
                    raise dilu.ItemError("no such word", field="$", status=418)
                yield word
"""


def events(body: bytes) -> list[tuple[str, Any]]:
    """The (event, data) pairs of a stream of server-sent events."""
    found = []
    for block in body.decode().split("\n\n"):
        if block:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            found.append((fields.get("event", "message"), json.loads(fields["data"])))
    return found


def test_parts_come_as_events_and_the_end_is_told(shared_function: ServeFunction) -> None:
    answer = shared_function(WORDS).post("one two")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/event-stream"
    assert events(answer.body) == [("message", "one"), ("message", "two"), ("done", {})]


def test_a_client_that_wants_json_gets_all_parts_at_once(shared_function: ServeFunction) -> None:
    answer = shared_function(WORDS).post("one two", headers={"Accept": "application/json"})
    assert (answer.headers["content-type"], answer.json()) == ("application/json", ["one", "two"])


def test_an_error_before_the_first_part_is_an_ordinary_error(shared_function: ServeFunction) -> None:
    replica = shared_function(WORDS)
    assert replica.post("refuse").status == 418
    answer = replica.post("fail")
    assert (answer.status, answer.json()["error"]["code"]) == (500, "handler-failed")
    assert replica.post(1).status == 422


def test_an_error_after_a_part_ends_the_stream_with_an_event(serve_function: ServeFunction) -> None:
    replica = serve_function(WORDS)
    kinds = events(replica.post("one fail two").body)
    assert [kind for kind, _ in kinds] == ["message", "error"]
    assert kinds[-1][1]["error"]["code"] == "handler-failed"
    assert "secret" not in str(kinds)
    assert events(replica.post("one refuse").body)[-1][1]["error"]["field"] == "$"
    assert replica.post("still").status == 200
    totals = replica.stats()["totals"]
    assert (totals["completed"], totals["failed"]) == (1, 1)


def test_an_empty_stream_is_an_answer(shared_function: ServeFunction) -> None:
    assert events(shared_function(WORDS).post("").body) == [("done", {})]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_the_first_part_comes_before_the_second_is_made(serve_function: ServeFunction, kind: str) -> None:
    wait = "time.sleep(0.6)" if kind == "def" else "await asyncio.sleep(0.6)"
    source = f"import asyncio, dilu, time\n@dilu.function\n{kind} f(x: int):\n    yield 1\n    {wait}\n    yield 2\n"
    replica = serve_function(source)
    connection = HTTPConnection("127.0.0.1", replica.port, timeout=10)
    connection.request("POST", "/", b"1")
    response = connection.getresponse()
    assert response.readline() == b"data: 1\n"
    first_s = time.monotonic()
    assert response.readline() == b"\n"
    assert response.readline() == b"data: 2\n"
    assert time.monotonic() - first_s > 0.3
    connection.close()


LONG = """
    import dilu, pathlib, time

    @dilu.function
    def count(path: str, *, ctx):
        try:
            for number in range(100_000):
                yield "x" * 1000
                time.sleep(0.001)
        finally:
            pathlib.Path(path).write_text(f"stopped {ctx.cancelled} {number < 90_000}")

    @dilu.function
    async def acount(path: str, ctx: dilu.Context):
        import asyncio
        try:
            for number in range(100_000):
                yield "x" * 1000
                await asyncio.sleep(0.001)
        finally:
            pathlib.Path(path).write_text(f"stopped {ctx.cancelled} {number < 90_000}")
"""


@pytest.mark.parametrize("name", ["count", "acount"])
def test_a_client_that_leaves_stops_the_generator(
    shared_function: ServeFunction, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    replica = shared_function(LONG)
    told = tmp_path_factory.mktemp("told") / "told"
    with socket.create_connection(("127.0.0.1", replica.port)) as sock:
        body = json.dumps(str(told)).encode()
        sock.sendall(b"POST /%b HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (name.encode(), len(body)) + body)
        assert b"200 OK" in sock.recv(65536)
    wait_until(lambda: told.exists() and told.read_text() != "", "the generator was closed")
    assert told.read_text() == "stopped True True"


BATCHED = """
    import dilu, time

    @dilu.function(batch=4, max_wait_ms=500)
    def spell(words: list[str]):
        for position in range(max(map(len, words))):
            yield [word[position] if position < len(word) else None for word in words]
"""


def test_a_batched_generator_gives_each_item_its_own_parts(serve_function: ServeFunction) -> None:
    from concurrent.futures import ThreadPoolExecutor

    replica = serve_function(BATCHED)
    words = ["a", "bcd", "ef", "ghij"]
    with ThreadPoolExecutor(4) as pool:
        bodies = list(pool.map(lambda word: replica.post(word).body, words))
    assert ["".join(data for kind, data in events(body) if kind == "message") for body in bodies] == words


def test_a_batched_generator_that_gives_too_few_parts_fails(serve_function: ServeFunction) -> None:
    source = "import dilu\n@dilu.function(batch=4)\ndef f(xs: list[int]):\n    yield []\n"
    answer = serve_function(source).post(1)
    assert (answer.status, answer.json()["error"]["code"]) == (500, "handler-failed")


def test_a_reader_that_does_not_read_is_cut_and_delays_no_other(serve_function: ServeFunction) -> None:
    source = """
        import dilu

        @dilu.function
        def flood(size: int):
            for _ in range(20_000):
                yield "x" * size
    """
    replica = serve_function(source)
    with socket.create_connection(("127.0.0.1", replica.port)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n9999")
        assert b"200 OK" in sock.recv(4096)
        answer = replica.post(1)  # the same replica, one call at a time: it gets its turn
        assert events(answer.body)[-1] == ("done", {})


def test_drain_lets_streams_finish(serve_function: ServeFunction) -> None:
    source = """
        import dilu, time

        @dilu.function
        def slow(x: int):
            for number in range(x):
                yield number
                time.sleep(0.1)
    """
    replica: ReplicaProcess = serve_function(source)
    connection = HTTPConnection("127.0.0.1", replica.port, timeout=10)
    connection.request("POST", "/", b"10")
    response = connection.getresponse()
    replica.terminate()
    assert events(response.read())[-1] == ("done", {})
    connection.close()
    assert replica.wait() == 0


def test_numbers_of_streams_are_kept(serve_function: ServeFunction) -> None:
    replica = serve_function(WORDS)
    replica.post("one two three")
    assert 'dilu_first_part_seconds_count{function="words"} 1.0' in replica.metrics()
