"""Faults that show over time: batches that never grow, places that are never released, memory that is kept."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from replica_process import ServeFunction, wait_until

LINEAR = """
    import dilu, time

    @dilu.function(slo_ms=60, batch=32, admission="queue")
    def linear(xs: list[int]):
        time.sleep(0.02 + 0.0001 * len(xs))
        return xs
"""


def test_batches_grow_after_a_time_of_single_calls(serve_function: ServeFunction) -> None:
    replica = serve_function(LINEAR)
    for _ in range(20):
        replica.post(1)
    with ThreadPoolExecutor(24) as pool:
        assert {answer.status for answer in pool.map(lambda _: replica.post(1), range(240))} == {200}
    assert replica.stats()["batch_size_mean"] > 1.5


def test_an_error_that_is_kept_and_raised_again_keeps_no_requests(serve_function: ServeFunction) -> None:
    source = """
        import dilu

        BAD = dilu.ItemError("bad")

        @dilu.function(batch=4)
        def refuses(xs: list[str]):
            return [BAD for _ in xs]
    """
    replica = serve_function(source)
    process = psutil.Process(replica.process.pid)
    for _ in range(100):
        replica.post("x" * 50_000)
    before = process.memory_info().rss
    for _ in range(400):
        assert replica.post("x" * 50_000).status == 422
    assert process.memory_info().rss - before < 8 * 2**20


def test_async_calls_without_a_client_release_their_places(serve_function: ServeFunction) -> None:
    source = """
        import asyncio, dilu

        @dilu.function(concurrency=2)
        async def waits(x: float):
            await asyncio.sleep(x)
            return x
    """
    replica = serve_function(source)
    with ThreadPoolExecutor(2) as pool:
        late = [pool.submit(replica.post, 60, headers={"X-Request-Timeout-Ms": "200"}) for _ in range(2)]
        assert {one.result().status for one in late} == {504}
    assert replica.post(0, timeout_s=10).status == 200


def test_an_item_of_several_is_never_displaced(serve_function: ServeFunction, tmp_path: Path) -> None:
    source = """
        import dilu, pathlib, time

        @dilu.function(queue_size=4, openai="embeddings")
        def embed(text: str):
            while text.startswith("/") and not pathlib.Path(text).exists():
                time.sleep(0.01)
            return [1.0]
    """
    replica = serve_function(source)
    release = tmp_path / "release"
    with ThreadPoolExecutor(4) as pool:
        body = {"model": "embed", "input": [str(release), "b", "c", "d"]}
        several = pool.submit(replica.post, body, "/v1/embeddings", {"Priority": "u=7"})
        wait_until(lambda: replica.stats()["queue_depth"] == 3, "three wait")
        urgent = [pool.submit(replica.post, "x", headers={"Priority": "u=0"}) for _ in range(3)]
        wait_until(lambda: replica.stats()["totals"]["refused"] == 2, "the queue has room for one more")
        assert not several.done()
        release.touch()
        answers = [one.result() for one in urgent]
        assert sorted(answer.status for answer in answers) == [200, 429, 429]
        assert [one.headers["dilu-refused"] for one in answers if one.status == 429] == ["queue-full"] * 2
        assert several.result().status == 200


def test_a_request_with_more_items_than_can_wait_is_refused_before_they_are_looked_at(
    serve_function: ServeFunction,
) -> None:
    source = 'import dilu\n@dilu.function(openai="embeddings")\ndef embed(text: str): return [1.0]\n'
    replica = serve_function(source)
    began_s = time.monotonic()
    answer = replica.post({"model": "embed", "input": [""] * 1_000_000}, "/v1/embeddings")
    assert (answer.status, answer.json()["error"]["code"]) == (413, "too-many-items")
    assert time.monotonic() - began_s < 20
    assert "at most" in answer.json()["error"]["message"]


def test_the_time_that_a_client_takes_to_send_is_not_the_functions(serve_function: ServeFunction) -> None:
    import socket

    replica = serve_function("import dilu\n@dilu.function(slo_ms=100)\ndef f(x: int): return x\n")
    with socket.create_connection(("127.0.0.1", replica.port)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        time.sleep(0.3)
        sock.sendall(b"2")
        assert b"200 OK" in sock.recv(4096)
    wait_until(lambda: replica.stats()["totals"]["completed"] == 1, "it is counted")
    assert replica.stats()["totals"]["slo_met"] == 1


def test_an_endless_warm_up_ends(serve_function: ServeFunction) -> None:
    source = """
        import dilu, itertools

        @dilu.function(example=1)
        def counts(x: int):
            for number in itertools.count() if x == 1 else range(x):
                yield number
    """
    assert serve_function(source).post(3, headers={"Accept": "application/json"}).json() == [0, 1, 2]


def test_a_part_that_json_cannot_state_is_told_in_the_stream(serve_function: ServeFunction) -> None:
    source = "import dilu\n@dilu.function\ndef f(x: int):\n    yield 1\n    yield object()\n"
    body = serve_function(source).post(1).body
    assert b"event: error" in body
    assert b"unusable-result" in body
