"""A Flask application that a function brings along, `@dilu.function(app=...)`, is itself under `dilu serve`."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from replica_process import ReplicaProcess, serving

SOURCE = """
    import dilu
    from flask import Blueprint, Flask, Response, abort, g, jsonify, redirect, request, session

    app = Flask(__name__)
    app.secret_key = "only for this test"
    torn_down = []
    admin = Blueprint("admin", __name__, url_prefix="/admin")

    @app.before_request
    def begin():
        g.steps = ["app"]
        if request.headers.get("X-Banned"):
            return jsonify(problem="banned"), 403

    @app.after_request
    def finish(response):
        response.headers["X-Steps"] = " ".join(g.steps)
        response.headers.add("Set-Cookie", "second=2")
        return response

    @app.teardown_request
    def tear_down(error):
        torn_down.append(request.path)

    @app.errorhandler(404)
    def missing(error):
        return jsonify(problem="missing"), 404

    @app.errorhandler(ZeroDivisionError)
    def impossible(error):
        return jsonify(problem="impossible"), 422

    @admin.before_request
    def only_admins():
        g.steps.append("admin")
        if request.headers.get("X-Role") != "admin":
            abort(401)

    @admin.get("/users/<int:number>")
    def user(number):
        return {"user": number}

    @admin.errorhandler(401)
    def unknown(error):
        return jsonify(problem="who are you?"), 401

    @app.get("/hello/")
    def hello():
        session["seen"] = session.get("seen", 0) + 1
        return f"hello {session['seen']}"

    @app.get("/torn-down")
    def told():
        return list(torn_down)

    @app.get("/divide")
    def divide():
        return str(1 / 0)

    @app.post("/upload")
    def upload():
        return {"name": request.files["file"].filename, "size": len(request.files["file"].read())}

    @app.get("/slow")
    def slow():
        def lines():
            for number in range(3):
                yield f"{number}\\n"
        return Response(lines(), mimetype="text/plain")

    @app.route("/old")
    def old():
        return redirect("/hello/")

    app.register_blueprint(admin)

    @dilu.function(app=app)
    def double(x: int) -> int:
        return 2 * x
"""


@pytest.fixture(scope="module")
def replica(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProcess]:
    folder: Path = tmp_path_factory.mktemp("served-application")
    with serving(folder) as start:
        yield start(SOURCE)


def test_hooks_of_the_application_and_of_a_blueprint_run_in_their_order(replica: ReplicaProcess) -> None:
    answer = replica.request("GET", "/admin/users/7", headers={"X-Role": "admin"})
    assert (answer.status, answer.json(), answer.headers["x-steps"]) == (200, {"user": 7}, "app admin")


@pytest.mark.parametrize(
    ("path", "headers", "status", "problem", "steps"),
    [
        ("/admin/users/7", {}, 401, "who are you?", "app admin"),
        ("/admin/users/7", {"X-Banned": "1"}, 403, "banned", "app"),
        ("/hello/", {"X-Banned": "1"}, 403, "banned", "app"),
        ("/divide", {}, 422, "impossible", "app"),
    ],
)
def test_a_hook_may_answer_and_error_handlers_do(
    replica: ReplicaProcess, path: str, headers: dict[str, str], status: int, problem: str, steps: str
) -> None:
    answer = replica.request("GET", path, headers=headers)
    assert (answer.status, answer.json()["problem"]) == (status, problem)
    assert answer.headers["x-steps"] == steps


def test_teardown_runs_for_every_route(replica: ReplicaProcess) -> None:
    replica.request("GET", "/slow")
    assert replica.request("GET", "/torn-down").json()[-1] == "/slow"


def test_sessions_and_several_cookies_pass(replica: ReplicaProcess) -> None:
    first, cookies = _hello(replica.port, [])
    second, _ = _hello(replica.port, cookies)
    assert (first, second) == (b"hello 1", b"hello 2")
    assert sorted(cookie.partition("=")[0] for cookie in cookies) == ["second", "session"]


def _hello(port: int, cookies: list[str]) -> tuple[bytes, list[str]]:
    """The greeting, and the cookies that came with it."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/hello/", headers={"Cookie": "; ".join(cookies)})
        answer = connection.getresponse()
        return answer.read(), [one.partition(";")[0] for one in answer.headers.get_all("Set-Cookie") or []]
    finally:
        connection.close()


def test_redirects_streams_and_uploads_work(replica: ReplicaProcess) -> None:
    assert replica.request("GET", "/hello").headers["location"].endswith("/hello/")
    assert replica.request("GET", "/old").headers["location"] == "/hello/"
    assert replica.request("GET", "/slow").body == b"0\n1\n2\n"
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
    body = head + b"a" * 70_000 + b"\r\n--b--\r\n"
    answer = replica.request("POST", "/upload", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert answer.json() == {"name": "a.txt", "size": 70_000}


def test_the_function_is_called_past_flask(replica: ReplicaProcess) -> None:
    answer = replica.post(21, headers={"X-Banned": "1"})
    assert (answer.json(), answer.headers.get("x-steps")) == (42, None)


def test_what_neither_knows_is_our_404(replica: ReplicaProcess) -> None:
    answer = replica.request("GET", "/nowhere")
    assert (answer.status, answer.json()["error"]["code"]) == (404, "not-found")
