"""`dilu.testing.client`: what a server would answer, without a port, and nothing left behind."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from flask import Flask, request

import dilu
from dilu import testing
from replica_process import ServeFunction


class Point(msgspec.Struct):
    x: float
    y: float = 0.0


@dilu.function(batch=4)
class Evens:
    """Halves even numbers."""

    loaded = 0

    def load(self) -> None:
        type(self).loaded += 1

    def predict(self, numbers: list[int]) -> list[int | dilu.ItemError]:
        return [dilu.ItemError("it is odd", field="$") if number % 2 else number // 2 for number in numbers]

    def unload(self) -> None:
        type(self).loaded -= 1


@dilu.function
def norm(point: Point) -> float:
    return math.hypot(point.x, point.y)


@dilu.function
async def later(text: str) -> str:
    await asyncio.sleep(0)
    return text.upper()


@dilu.function
def fail(value: Any) -> None:
    raise RuntimeError("secret")


@dilu.function
def count(limit: int) -> Iterator[int]:
    for number in range(limit):
        if number == 3:
            raise dilu.ItemError("three is too much", code="too-much")
        yield number


@dilu.function
async def echo_parts(words: list[str]) -> AsyncIterator[str]:
    for word in words:
        yield word


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)  # one that has answered may need a moment to end
    assert set(threading.enumerate()) <= before


@pytest.fixture
def evens() -> Iterator[testing.Client]:
    with testing.client(Evens) as client:
        yield client


def test_an_item_becomes_its_result(evens: testing.Client) -> None:
    assert evens.call(8) == 4


def test_an_item_may_be_what_the_handler_takes() -> None:
    with testing.client(norm) as client:
        assert client.call(Point(x=3, y=4)) == 5.0
        assert client.call({"x": 2}) == 2.0


def test_an_async_function_is_called_alike() -> None:
    with testing.client(later) as client:
        assert client.call("a") == "A"


def test_the_hooks_run_once_around_it() -> None:
    with testing.client(Evens):
        assert Evens.loaded == 1
    assert Evens.loaded == 0


def test_many_items_get_their_results_in_order_and_bad_ones_their_errors(evens: testing.Client) -> None:
    results = evens.call_many([0, 1, 2, "three", 4])
    assert [results[0], results[2], results[4]] == [0, 1, 2]
    odd, wrong = results[1], results[3]
    assert isinstance(odd, dilu.RequestError)
    assert isinstance(wrong, dilu.RequestError)
    assert (odd.status, odd.code, str(odd), odd.field) == (422, "bad-item", "it is odd", "$")
    assert (wrong.status, wrong.code) == (422, "invalid-type")


def test_items_that_are_sent_together_are_batched(evens: testing.Client) -> None:
    evens.call_many(range(0, 64, 2))
    stats = evens.get("/v1/stats").json()
    assert stats["totals"]["completed"] == 32
    assert stats["batch_size_mean"] > 1


def test_a_bad_item_raises_what_a_client_would_get() -> None:
    with testing.client(norm) as client, pytest.raises(dilu.RequestError, match="Expected `float`") as raised:
        client.call({"x": "far"})
    assert (raised.value.status, raised.value.field) == (422, "$.x")


def test_a_handler_that_raises_is_a_500_that_does_not_quote_it(caplog: pytest.LogCaptureFixture) -> None:
    with testing.client(fail) as client, pytest.raises(dilu.RequestError, match="RuntimeError") as raised:
        client.call(1)
    assert (raised.value.status, raised.value.code) == (500, "handler-failed")
    assert "secret" not in str(raised.value)
    assert "secret" in caplog.text  # pytest shows the traceback beside the failed test


def test_the_whole_http_answer_can_be_had(evens: testing.Client) -> None:
    answer = evens.post(8, headers={"X-Request-Id": "mine"})
    assert (answer.status, answer.json(), answer.headers["x-request-id"]) == (200, 4, "mine")
    assert answer.headers["content-type"] == "application/json"
    refused = evens.request("POST", "/", b"{")
    assert (refused.status, refused.json()["error"]["code"]) == (400, "invalid-json")
    with pytest.raises(dilu.RequestError, match="not JSON"):
        refused.raise_for_status()


@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/no", 404)])
def test_other_routes_answer_as_on_the_port(evens: testing.Client, path: str, status: int) -> None:
    assert evens.get(path).status == status


def test_a_body_that_is_too_large_is_refused() -> None:
    @dilu.function(max_body_bytes=10)
    def take(text: str) -> int:
        return len(text)

    with testing.client(take) as client:
        assert client.post("x" * 11).status == 413


def test_what_finds_no_room_is_refused_as_by_the_server() -> None:
    started, go_on = threading.Event(), threading.Event()

    @dilu.function(queue_size=1, admission="queue")
    def wait(value: int) -> int:
        started.set()
        assert go_on.wait(10)
        return value

    with testing.client(wait) as client:
        first = threading.Thread(target=client.call, args=(0,))
        first.start()
        assert started.wait(10)
        release = threading.Timer(0.2, go_on.set)
        release.start()
        results = client.call_many([1, 2, 3])
        first.join()
        release.join()
    assert results[0] == 1
    for refused in results[1:]:
        assert (refused.status, refused.refused) == (429, "queue-full")
        assert refused.retry_after_s >= 1


def test_a_deadline_is_kept() -> None:
    done = threading.Event()

    @dilu.function
    def slow(value: int, ctx: dilu.Context) -> int:
        while not ctx.cancelled:
            time.sleep(0.001)
        done.set()
        return value

    with testing.client(slow) as client:
        with pytest.raises(dilu.RequestError) as raised:
            client.call(1, headers={"X-Request-Timeout-Ms": "50"})
        assert raised.value.status == 504
        assert done.wait(10)


def test_a_stream_comes_part_by_part() -> None:
    with testing.client(echo_parts) as client:
        assert list(client.stream(["a", "b"])) == ["a", "b"]
        assert client.call(["a", "b"]) == ["a", "b"]


def test_a_stream_that_fails_gives_its_parts_and_then_the_error() -> None:
    parts = []
    with testing.client(count) as client, pytest.raises(dilu.RequestError, match="three is too much") as raised:
        parts += [part for part in client.stream(9)]  # noqa: C416  # the parts before the error are kept
    assert raised.value.code == "too-much"
    assert parts == []
    with testing.client(count) as client:
        stream = client.stream(9)
        assert [next(stream) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(dilu.RequestError):
            next(stream)


def test_an_error_before_the_first_part_is_an_ordinary_one() -> None:
    with testing.client(count) as client, pytest.raises(dilu.RequestError) as raised:
        next(client.stream("many"))
    assert raised.value.status == 422


def test_leaving_a_stream_tells_the_handler_that_its_client_has_left() -> None:
    seen = threading.Event()

    @dilu.function
    def endless(start: int, ctx: dilu.Context) -> Iterator[int]:
        try:
            while True:
                yield start
                start += 1
                time.sleep(0.001)  # not so fast that parts pile up unread
        finally:
            if ctx.cancelled:
                seen.set()

    with testing.client(endless) as client:
        for part in client.stream(0):
            if part == 5:
                break
        assert seen.wait(10)


def test_a_function_that_does_not_stream_says_so(evens: testing.Client) -> None:
    with pytest.raises(dilu.ConfigError, match="does not stream; use call"):
        next(evens.stream(2))


def test_several_functions_are_called_by_name() -> None:
    with testing.client([norm, later]) as client:
        assert client.call("a", function="later") == "A"
        assert client.call({"x": 1}, function="norm") == 1.0
        with pytest.raises(dilu.ConfigError, match=r"function = None, must be one of norm, later"):
            client.call("a")


def test_a_target_may_be_a_file_a_path_or_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "doubling_app.py"
    file.write_text("import dilu\n\n@dilu.function\ndef double(x: float) -> float:\n    return 2 * x\n")
    monkeypatch.setattr(sys, "path", [*sys.path])
    targets: list[str | Path | ModuleType] = [str(file), f"{file}:double", file]
    for target in targets:
        with testing.client(target) as client:
            assert client.call(2) == 4
    with testing.client(sys.modules["doubling_app"]) as client:
        assert client.call(2) == 4
    del sys.modules["doubling_app"]


def test_what_is_not_decorated_is_named() -> None:
    with pytest.raises(dilu.LoadError, match=r"int.*is not decorated"):
        testing.client(int)


def test_what_dilu_yaml_may_say_can_be_overridden() -> None:
    with testing.client(Evens, batch=1) as client:
        client.call_many([2, 4, 6, 8])
        assert client.get("/v1/stats").json()["batch_size_mean"] == 1
    with pytest.raises(dilu.ConfigError, match="batches"):
        testing.client(Evens, batches=1)
    with pytest.raises(dilu.ConfigError, match="only its code can change that"):
        testing.client(Evens, batch=None)
    with pytest.raises(dilu.ConfigError, match="overrides are for one function"):
        testing.client([norm, later], slo_ms=5)


def test_a_load_that_fails_raises_its_error_and_leaves_no_thread() -> None:
    @dilu.function
    class Broken:
        def load(self) -> None:
            raise OSError("no weights")

        def predict(self, item: int) -> int:
            return item

    with pytest.raises(OSError, match="no weights"), testing.client([Evens, Broken]):
        raise AssertionError("it must not be entered")
    assert Evens.loaded == 0


def test_a_failing_test_still_ends_the_function() -> None:
    with pytest.raises(AssertionError, match="of the test"), testing.client(Evens):
        raise AssertionError("of the test")
    assert Evens.loaded == 0


def test_a_handler_that_never_answers_fails_the_test_in_time() -> None:
    go_on = threading.Event()

    @dilu.function
    def hang(value: int) -> int:
        go_on.wait(10)
        return value

    with testing.client(hang, within_s=0.3) as client:
        with pytest.raises(testing.NoAnswerError, match=r"POST /: no answer within 0\.3 s"):
            client.call(1)
        go_on.set()


def test_a_handler_that_does_not_end_is_told() -> None:
    started, go_on = threading.Event(), threading.Event()

    @dilu.function
    def hang(value: int) -> int:
        started.set()
        go_on.wait(10)
        return value

    client = testing.client(hang, within_s=0.2)
    client.__enter__()
    call = threading.Thread(target=client.post, args=(1,))
    with ignoring_thread_errors():
        call.start()
        assert started.wait(10)
        with pytest.raises(testing.NoAnswerError, match=r"did not end within 0\.2 s"):
            client.__exit__(None, None, None)
        go_on.set()
        for thread in set(threading.enumerate()) - {threading.current_thread()}:
            thread.join(10)


@contextlib.contextmanager
def ignoring_thread_errors() -> Iterator[None]:
    """The call is cut, which its thread may say."""
    hook, threading.excepthook = threading.excepthook, lambda arguments: None
    try:
        yield
    finally:
        threading.excepthook = hook


def test_a_client_outside_its_with_statement_says_so() -> None:
    client = testing.client(norm)
    with pytest.raises(RuntimeError, match="with statement"):
        client.call({"x": 1})
    with client:
        client.call({"x": 1})
    with pytest.raises(RuntimeError, match="with statement"):
        client.call({"x": 1})


def test_routes_of_a_flask_app_answer_beside_the_function() -> None:
    app = Flask("shop")

    @app.get("/hello")
    def hello() -> dict[str, str | None]:
        return {"hello": request.args.get("name")}

    @dilu.function(app=app)
    def double(x: float) -> float:
        return 2 * x

    with testing.client(double) as client:
        assert client.get("/hello?name=Ada").json() == {"hello": "Ada"}
        assert client.call(2) == 4


SAME = """
    import dilu
    @dilu.function(batch=4)
    def halve(numbers: list[int]) -> list[float]:
        return [dilu.ItemError("negative") if number < 0 else number / 2 for number in numbers]
"""
REQUESTS: list[tuple[str, str, bytes]] = [
    ("POST", "/", b"3"),
    ("POST", "/", b"-3"),
    ("POST", "/", b'"x"'),
    ("POST", "/", b"{"),
    ("POST", "/", b"\xff"),
    ("POST", "/", b""),
    ("PUT", "/", b"1"),
    ("POST", "/other", b"1"),
    ("GET", "/readyz", b""),
]


def test_answers_are_those_of_a_replica_on_a_port(
    serve_function: ServeFunction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    replica = serve_function(SAME)
    file = next(replica.log_path.parent.glob("function_*.py"))
    with testing.client(file) as client:
        for method, path, body in REQUESTS:
            headers = {"X-Request-Id": "same", "Content-Type": "application/json"}
            wanted = replica.request(method, path, body, headers)
            found = client.request(method, path, body, headers=headers)
            assert (found.status, found.body) == (wanted.status, wanted.body)
            varying = {"date", "server", "server-timing"}
            assert {name: value for name, value in found.headers.items() if name not in varying} == {
                name: value for name, value in wanted.headers.items() if name not in varying
            }
    del sys.modules[file.stem]
