"""What a caller of a function gets: results, and errors that name what is wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from replica_process import ReplicaProcess, ServeFunction, serving, wait_until

SHAPES = """
    import sys
    import numpy as np
    import dilu

    class Odd: ...

    @dilu.function(batch=4, slo_ms=1000, concurrency=1)
    class Function:
        def predict(self, items: list[dict[str, float | str]]) -> list[object]:
            commands = [item.get("do") for item in items]
            if "raise" in commands:
                raise ValueError("a secret of another client")
            if "exit" in commands:
                sys.exit(3)
            if "miscount" in commands:
                return [1] * (len(items) + 1)
            if "scalar" in commands:
                return 5
            if "odd" in commands:
                return [Odd()] * len(items)
            if "array" in commands:
                return np.arange(3 * len(items), dtype=np.float32).reshape(len(items), 3)
            return items
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProcess]:
    with serving(tmp_path_factory.mktemp("shapes")) as start:
        yield start(SHAPES, DILU_FUNCTION_SPEC=json.dumps({"name": "shapes"}))


def error_of(answer: Any) -> dict[str, str]:
    error: dict[str, str] = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    return error


def test_a_result_comes_back_as_json(replica: ReplicaProcess) -> None:
    answer = replica.post({"x": 1.5})
    assert (answer.status, answer.json()) == (200, {"x": 1.5})
    assert answer.headers["content-type"] == "application/json"


def test_the_request_id_of_the_caller_is_kept(replica: ReplicaProcess) -> None:
    assert replica.post({}, headers={"X-Request-Id": "mine-1"}).headers["x-request-id"] == "mine-1"
    made = {replica.post({}).headers["x-request-id"] for _ in range(3)}
    assert len(made) == 3


@pytest.mark.parametrize("bad", ["a" * 200, "tab\there"])
def test_a_request_id_that_could_spoil_logs_is_replaced(replica: ReplicaProcess, bad: str) -> None:
    assert replica.post({}, headers={"X-Request-Id": bad}).headers["x-request-id"] != bad


def test_arrays_become_lists(replica: ReplicaProcess) -> None:
    assert replica.post({"do": "array"}).json() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize(
    ("do", "words"),
    [
        ("raise", "ValueError"),
        ("exit", "SystemExit"),
        ("miscount", "HandlerContractError"),
        ("scalar", "HandlerContractError"),
        ("odd", "Odd"),
    ],
)
def test_a_handler_that_fails_answers_500_and_the_next_batch_runs(replica: ReplicaProcess, do: str, words: str) -> None:
    answer = replica.post({"do": do})
    assert answer.status == 500
    assert words in error_of(answer)["message"]
    assert "secret" not in answer.body.decode()
    assert replica.post({"x": 1}).status == 200
    if do == "raise":
        wait_until(lambda: "a secret of another client" in replica.log(), "the log says more")


DEEP = b"[" * 200_000 + b"]" * 200_000
BODIES = [
    (b"", 400, "empty-body", None),
    (b"{", 400, "invalid-json", "$"),
    (b'{"a": 1}}', 400, "invalid-json", "$"),
    (b'{"a": NaN}', 400, "invalid-json", "$"),
    (b'{"a": "\xff\xfe"}', 400, "invalid-json", "$"),
    (DEEP, 400, "invalid-json", "$"),
    (b"\x00\x00", 400, "invalid-json", "$"),
    (b"5", 422, "invalid-type", "$"),
    (b'{"a": [1]}', 422, "invalid-type", "$[...]"),
]


@pytest.mark.parametrize(("body", "status", "code", "field"), BODIES, ids=[repr(case[0][:12]) for case in BODIES])
def test_a_body_that_cannot_be_used_is_refused_with_its_field(
    replica: ReplicaProcess, body: bytes, status: int, code: str, field: str | None
) -> None:
    answer = replica.request("POST", "/", body)
    error = error_of(answer)
    assert (answer.status, error["code"], error.get("field")) == (status, code, field)
    assert replica.post({}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 405),
        ("PUT", "/", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/nowhere", 404),
        ("DELETE", "/healthz", 405),
        ("GET", "/%ff%00", 404),
        ("GET", "/?%ff", 405),
    ],
)
def test_unknown_paths_and_methods_are_json_errors(
    replica: ReplicaProcess, method: str, path: str, status: int
) -> None:
    answer = replica.request(method, path)
    assert answer.status == status
    assert error_of(answer)["message"]


def test_405_says_what_is_allowed(replica: ReplicaProcess) -> None:
    assert replica.request("GET", "/").headers["allow"] == "POST"


def test_requests_at_the_same_time_share_batches(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import time, dilu

        @dilu.function(batch=8)
        def slow(items: list[int]) -> list[list[int]]:
            time.sleep(0.05)
            return [[item, len(items)] for item in items]
        """
    )
    with ThreadPoolExecutor(24) as pool:
        answers = [answer.json() for answer in pool.map(replica.post, range(48))]
    assert [answer[0] for answer in answers] == list(range(48)), "each caller gets the result of its own item"
    assert max(answer[1] for answer in answers) > 1
    assert replica.stats()["batch_size_mean"] > 2


@pytest.mark.parametrize("keyword", ["def", "async def"])
@pytest.mark.parametrize("batch", [None, 4])
def test_every_shape_of_handler_serves(serve_function: ServeFunction, keyword: str, batch: int | None) -> None:
    argument, result = ("items: list[int]", "[2 * i for i in items]") if batch else ("item: int", "2 * item")
    replica = serve_function(
        f"""
        import dilu

        @dilu.function(batch={batch}, example=1)
        class Doubler:
            {keyword} load(self) -> None:
                self.loaded = True

            {keyword} predict(self, {argument}):
                assert self.loaded
                return {result}

            {keyword} unload(self) -> None:
                print("unloaded once", flush=True)
        """
    )
    with ThreadPoolExecutor(8) as pool:
        assert [answer.json() for answer in pool.map(replica.post, range(20))] == [2 * n for n in range(20)]
    replica.terminate()
    assert replica.wait() == 0
    assert replica.log().count("unloaded once") == 1


def test_concurrent_async_calls_overlap(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import asyncio, dilu
        running = 0

        @dilu.function
        async def overlap(item: int) -> int:
            global running
            running += 1
            for _ in range(200):
                if running >= 8:
                    break
                await asyncio.sleep(0.01)
            return running
        """
    )
    with ThreadPoolExecutor(8) as pool:
        assert max(answer.json() for answer in pool.map(replica.post, range(8))) == 8


def test_sync_concurrency_is_what_was_asked_for(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import threading, dilu
        barrier = threading.Barrier(3)

        @dilu.function(concurrency=3)
        def meet(item: int) -> int:
            return barrier.wait(timeout=10) >= 0
        """
    )
    with ThreadPoolExecutor(3) as pool:
        assert [answer.json() for answer in pool.map(replica.post, range(3))] == [True] * 3


def test_load_predict_and_unload_share_a_thread(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import threading, dilu

        @dilu.function(batch=2)
        class Threads:
            def load(self): self.thread = threading.get_ident()
            def predict(self, items: list[int]): return [threading.get_ident() == self.thread for _ in items]
            def unload(self): print("same thread:", threading.get_ident() == self.thread, flush=True)
        """
    )
    assert replica.post(1).json() is True
    replica.terminate()
    assert replica.wait() == 0
    assert "same thread: True" in replica.log()


def test_the_deployment_overrides_the_decorator(serve_function: ServeFunction) -> None:
    replica = serve_function(
        "import dilu\n@dilu.function(batch=2)\ndef f(xs: list[int]): return xs\n",
        DILU_FUNCTION_SPEC='{"name": "renamed", "batch": 7}',
    )
    stats = replica.stats()
    assert (stats["function"], stats["max_in_flight"]) == ("renamed", 14)


def test_flask_routes_of_the_function_are_served_beside_it(serve_function: ServeFunction, tmp_path: Path) -> None:
    replica = serve_function(
        """
        import dilu
        from flask import Flask, request

        app = Flask(__name__)

        @app.get("/about")
        def about(): return {"id": request.headers["X-Request-Id"]}

        @app.post("/sum")
        def total(): return {"sum": sum(request.get_json(force=True))}

        @app.get("/broken")
        def broken(): raise RuntimeError("inside a route")

        @app.get("/readyz")
        def own(): return "mine"

        @dilu.function(app=app, max_body_bytes=1000)
        def f(x: int) -> int: return x
        """
    )
    assert replica.post(3).json() == 3
    assert replica.request("GET", "/about", headers={"X-Request-Id": "r-1"}).json() == {"id": "r-1"}
    assert replica.post([1, 2], path="/sum").json() == {"sum": 3}
    assert replica.post([0] * 1000, path="/sum").status == 413
    assert replica.request("GET", "/broken").status == 500
    assert replica.request("GET", "/readyz").body == b"mine"
    assert replica.request("GET", "/nowhere").status == 404
    with socket.create_connection(("127.0.0.1", replica.port), timeout=10) as raw:
        raw.sendall(b"GET /about?\xff HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    connection = HTTPConnection("127.0.0.1", replica.port, timeout=10)
    connection.request("POST", "/sum", iter([b"[1,", b"2,3]"]), encode_chunked=True)
    assert json.loads(connection.getresponse().read()) == {"sum": 6}
    connection.close()


def test_a_stream_of_a_route_comes_piece_by_piece_and_ends_with_its_client(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import time, dilu
        from flask import Flask

        app = Flask(__name__)

        @app.get("/ticks")
        def ticks():
            def pieces():
                try:
                    while True:
                        yield b"tick"
                        time.sleep(0.01)
                finally:
                    print("stream ended", flush=True)
            return app.response_class(pieces())

        @dilu.function(app=app)
        def f(x: int) -> int: return x
        """
    )
    connection = HTTPConnection("127.0.0.1", replica.port, timeout=10)
    connection.request("GET", "/ticks")
    response = connection.getresponse()
    assert response.read(8) == b"ticktick"
    response.close()
    connection.close()
    wait_until(lambda: "stream ended" in replica.log(), "the generator is closed")
    replica.terminate()
    assert replica.wait() == 0


def test_a_route_that_streams_forever_cannot_hold_a_drain(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import time, dilu
        from flask import Flask

        app = Flask(__name__)

        @app.get("/ticks")
        def ticks():
            def pieces():
                while True:
                    yield b"tick"
                    time.sleep(0.01)
            return app.response_class(pieces())

        @dilu.function(app=app)
        def f(x: int) -> int: return x
        """,
        arguments=["--drain-timeout", "0.5"],
    )
    connection = HTTPConnection("127.0.0.1", replica.port, timeout=10)
    connection.request("GET", "/ticks")
    response = connection.getresponse()
    assert response.read(4) == b"tick"
    replica.terminate()
    assert replica.process.wait(10) == 1, "what never ends is cut, and that is said"
    assert "requests were cut" in replica.log()
    response.close()
    connection.close()


def test_log_lines_of_the_handler_carry_request_ids(serve_function: ServeFunction) -> None:
    replica = serve_function(
        """
        import logging, dilu

        @dilu.function
        def talk(x: int) -> int:
            logging.getLogger("mine").info("working on %d", x)
            return x
        """,
        DILU_LOG_FORMAT="json",
        DILU_REPLICA="talk-1",
    )
    replica.post(4, headers={"X-Request-Id": "abc"})
    wait_until(lambda: "working on 4" in replica.log(), "the line is written")
    entries = [json.loads(line) for line in replica.log().splitlines()]
    assert [(entry["message"], entry["replica"]) for entry in entries if entry.get("request_ids") == ["abc"]] == [
        ("working on 4", "talk-1")
    ]
