"""A Flask application with a Dilu function on one of its routes, through Flask's own test client."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Blueprint, Flask, Response, g, jsonify, request
from werkzeug.test import TestResponse

import dilu
from dilu.flask import MountedFunction, mount
from dilu.runtime.execution.service import FunctionService
from dilu.runtime.execution.workers import ThreadWorkers
from replica_process import wait_until


class Lengths:
    """A batched function that tells what it saw."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.loads = 0
        self.unloads = 0

    def function(self, **options: Any) -> Any:
        seen = self

        @dilu.function(name="lengths", batch=8, max_wait_ms=300, slo_ms=5_000, example="a", **options)
        class Function:
            def load(self) -> None:
                seen.loads += 1

            def predict(self, texts: list[str]) -> list[Any]:
                seen.batches.append(len(texts))
                return [len(text) if text else dilu.ItemError("it is empty", field="$") for text in texts]

            def unload(self) -> None:
                seen.unloads += 1

        return Function


@pytest.fixture
def lengths() -> Lengths:
    return Lengths()


@pytest.fixture
def app(lengths: Lengths) -> Iterator[Flask]:
    app = Flask(__name__)
    mounted = mount(app, lengths.function(max_body_bytes=1_000), "/lengths")
    yield app
    mounted.close()


def post(app: Flask, item: Any, path: str = "/lengths", **headers: str) -> TestResponse:
    return app.test_client().post(path, json=item, headers={name.replace("_", "-"): headers[name] for name in headers})


def test_two_lines_mount_a_function(app: Flask) -> None:
    answer = post(app, "abc", X_Request_Id="mine")
    assert (answer.status_code, answer.json) == (200, 3)
    assert answer.headers["X-Request-Id"] == "mine"
    assert answer.headers["Content-Type"] == "application/json"
    assert "execute;dur=" in answer.headers["Server-Timing"]
    assert answer.headers.getlist("Content-Length") == ["1"]


def test_requests_of_many_threads_form_batches(app: Flask, lengths: Lengths) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda n: post(app, "a" * n).json, range(1, 9)))
    assert answers == list(range(1, 9))
    assert lengths.loads == 1
    assert max(lengths.batches) > 1


def test_nothing_is_loaded_before_the_first_request_and_close_unloads(lengths: Lengths) -> None:
    before = threading.active_count()
    app = Flask(__name__)
    mounted = mount(app, lengths.function(), "/lengths")
    assert (lengths.loads, threading.active_count()) == (0, before)
    assert post(app, "a").status_code == 200
    mounted.close()
    mounted.close()
    assert (lengths.loads, lengths.unloads, threading.active_count()) == (1, 1, before)
    assert post(app, "a").status_code == 200
    mounted.close()
    assert lengths.loads == 2


def test_start_loads_at_once(lengths: Lengths) -> None:
    mounted = mount(Flask(__name__), lengths.function(), "/lengths")
    mounted.start()
    mounted.start()
    assert lengths.loads == 1
    mounted.close()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "empty-body"),
        (b"{", 400, "invalid-json"),
        (b'"\xff"', 400, "invalid-json"),
        (b"1", 422, "invalid-type"),
        (b'""', 422, "bad-item"),
        (b'"' + b"a" * 1_000 + b'"', 413, "body-too-large"),
    ],
)
def test_bad_requests_are_refused_as_by_the_server(app: Flask, body: bytes, status: int, code: str) -> None:
    answer = app.test_client().post("/lengths", data=body)
    assert answer.json is not None
    error = answer.json["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert error["request_id"] == answer.headers["X-Request-Id"]
    assert post(app, "abc").json == 3


def test_a_limit_of_the_application_holds_as_well(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = 10
    assert post(app, "a" * 20).status_code == 413
    assert post(app, "a").status_code == 200


def test_other_methods_are_for_flask_to_answer(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/lengths").status_code == 405
    assert client.options("/lengths").headers["Allow"] in ("OPTIONS, POST", "POST, OPTIONS")
    assert client.post("/elsewhere").status_code == 404


def test_limits_in_headers_hold(app: Flask) -> None:
    assert post(app, "a", X_Request_Timeout_Ms="soon").status_code == 400


def test_cloud_events_come_in(app: Flask) -> None:
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    answer = app.test_client().post("/lengths", json="abc", headers=headers)
    assert (answer.status_code, answer.json) == (200, 3)


def test_hooks_run_before_and_after_the_function(app: Flask) -> None:
    order: list[str] = []

    @app.before_request
    def before() -> Response | None:
        order.append("before")
        g.user = request.headers.get("X-User")
        if g.user is None:
            refusal = jsonify({"problem": "who are you?"})
            refusal.status_code = 401
            return refusal
        return None

    @app.after_request
    def after(response: Response) -> Response:
        order.append("after")
        response.headers["X-Served-For"] = g.get("user") or "unknown"
        return response

    @app.teardown_request
    def teardown(error: BaseException | None) -> None:
        order.append("teardown")

    answer = post(app, "abc", X_User="Ada")
    assert (answer.json, answer.headers["X-Served-For"]) == (3, "Ada")
    assert order == ["before", "after", "teardown"]
    refused = post(app, "abc")
    assert (refused.status_code, refused.json) == (401, {"problem": "who are you?"})
    assert refused.headers["X-Served-For"] == "unknown"


def test_a_hook_may_have_read_the_body(app: Flask) -> None:
    seen: list[Any] = []

    @app.before_request
    def read() -> None:
        seen.append(request.get_json())

    assert post(app, "abc").json == 3
    assert seen == ["abc"]


def test_a_blueprint_takes_a_function_with_its_prefix_and_its_hooks(lengths: Lengths) -> None:
    app, shop = Flask(__name__), Blueprint("shop", __name__, url_prefix="/shop")
    mounted = mount(shop, lengths.function(), "/lengths")

    @shop.after_request
    def mark(response: Response) -> Response:
        response.headers["X-Shop"] = "yes"
        return response

    @shop.get("/hello")
    def hello() -> str:
        return "hello"

    @app.get("/outside")
    def outside() -> str:
        return "outside"

    app.register_blueprint(shop)
    answer = post(app, "abc", "/shop/lengths")
    assert (answer.json, answer.headers["X-Shop"]) == (3, "yes")
    assert app.test_client().get("/shop/hello").headers["X-Shop"] == "yes"
    assert "X-Shop" not in app.test_client().get("/outside").headers
    assert [rule.endpoint for rule in app.url_map.iter_rules() if rule.rule == "/shop/lengths"] == ["shop.dilu_lengths"]
    mounted.close()


def test_several_functions_live_beside_each_other() -> None:
    @dilu.function
    def double(x: int) -> int:
        return 2 * x

    @dilu.function
    async def triple(x: int) -> int:
        return 3 * x

    app = Flask(__name__)
    mounts = [mount(app, double, "/double"), mount(app, triple, "/triple"), mount(app, double, "/again", endpoint="b")]
    assert [post(app, 2, path).json for path in ("/double", "/triple", "/again")] == [4, 6, 4]
    for one in mounts:
        one.close()


def test_a_stream_comes_part_by_part_and_ends_when_its_client_leaves() -> None:
    left = threading.Event()

    @dilu.function
    def count(x: int) -> Iterator[int]:
        try:
            for number in range(x):
                yield number
                time.sleep(0.01)
        finally:
            left.set()

    app = Flask(__name__)
    mounted = mount(app, count, "/count")
    whole = post(app, 2, "/count")
    assert whole.headers["Content-Type"].startswith("text/event-stream")
    assert whole.data == b"data: 0\n\ndata: 1\n\nevent: done\ndata: {}\n\n"
    left.clear()
    with app.test_client().post("/count", json=100_000, buffered=False) as answer:
        assert next(answer.response) == b"data: 0\n\n"  # type: ignore[call-overload]  # an iterator, as nothing is buffered
    assert left.wait(5)
    mounted.close()


def test_a_handler_that_fails_is_an_answer_and_the_next_request_is_served() -> None:
    @dilu.function
    def fussy(x: int) -> int:
        if x < 0:
            raise ValueError("never")
        return x

    app = Flask(__name__)
    mounted = mount(app, fussy, "/fussy")
    answer = post(app, -1, "/fussy")
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]["code"]) == (500, "handler-failed")
    assert post(app, 1, "/fussy").json == 1
    mounted.close()


def test_a_load_that_fails_is_an_error_of_the_request_and_tried_again() -> None:
    loads: list[int] = []

    @dilu.function
    class Late:
        def load(self) -> None:
            loads.append(1)
            if len(loads) == 1:
                raise OSError("the weights are not there yet")

        def predict(self, x: int) -> int:
            return x

    app = Flask(__name__)
    mounted = mount(app, Late, "/late")
    assert post(app, 1, "/late").status_code == 500
    assert post(app, 1, "/late").json == 1
    mounted.close()


def test_threads_that_died_are_noticed_at_once_and_made_again(
    app: Flask, lengths: Lengths, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: ThreadWorkers, jobs: list[Any]) -> Any:
        raise MemoryError("outside the handler")

    assert post(app, "abc").json == 3
    began_s = time.monotonic()
    with monkeypatch.context() as broken:
        broken.setattr(ThreadWorkers, "_call", die)
        assert post(app, "abc").status_code == 504
    assert time.monotonic() - began_s < 10, "it did not wait for an answer that cannot come"
    wait_until(lambda: post(app, "abc").status_code == 200, "the function is loaded again")
    assert lengths.loads == 2


def test_while_a_replica_ends_requests_go_to_the_next_one(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    has_answered, close = threading.Event(), FunctionService.close

    def die(self: ThreadWorkers, jobs: list[Any]) -> Any:
        raise MemoryError("outside the handler")

    async def close_late(self: FunctionService, timeout_s: float) -> bool:
        await asyncio.to_thread(has_answered.wait, 20)
        return await close(self, timeout_s)

    with monkeypatch.context() as broken:
        broken.setattr(ThreadWorkers, "_call", die)
        broken.setattr(FunctionService, "close", close_late)
        assert post(app, "abc").status_code == 504
        broken.undo()
        assert post(app, "abc").status_code == 200
        has_answered.set()


def test_no_answer_in_time_is_504() -> None:
    release = threading.Event()

    @dilu.function
    def stuck(x: int) -> int:
        release.wait(30)
        return x

    app = Flask(__name__)
    mounted = mount(app, stuck, "/stuck", within_s=0.2)
    answer = post(app, 1, "/stuck")
    release.set()
    assert answer.json is not None
    assert (answer.status_code, answer.json["error"]["code"]) == (504, "no-answer")
    mounted.close()


def test_what_is_no_function_is_refused_at_once() -> None:
    with pytest.raises(dilu.LoadError, match=r"is not decorated with @dilu\.function"):
        mount(Flask(__name__), len, "/len")


def test_a_function_may_be_named_as_for_dilu_serve(tmp_path: Any) -> None:
    (tmp_path / "named_for_flask.py").write_text("import dilu\n@dilu.function\ndef f(x: int): return x + 1\n")
    app = Flask(__name__)
    mounted: MountedFunction = mount(app, f"{tmp_path}/named_for_flask.py:f", "/f")
    assert (post(app, 1, "/f").json, mounted.name) == (2, "f")
    mounted.close()
