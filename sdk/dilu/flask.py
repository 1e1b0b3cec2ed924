"""Dilu functions as routes of a Flask application that stays what it is: for people who have one.

    from dilu.flask import mount

    mount(app, Embed, "/embed")

The route is an ordinary one: hooks before and after it, blueprints, `app.test_client()` and every WSGI server work as
before. Behind it requests of all the server's threads form batches, are checked, bounded and refused as by
`dilu serve`. The process that answers the first request loads the function, so a server may fork after the import.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from dataclasses import replace
from typing import Any

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from dilu.errors import ConfigError, LoadError, RequestError
from dilu.handlers import FunctionDefinition, definition_of
from dilu.http.answers import Headers, error_body, request_id
from dilu.loading import load_function
from dilu.runtime.in_process import InProcessCall, InProcessReplica, NoAnswerError

__all__ = ["MountedFunction", "mount"]

# A handler that hangs must not keep the server's process from ending.
_LAST_CALLS_S = 5.0
_EVENTS = "text/event-stream"
# Of the connection, not of the request or the answer: the server and Flask see to them.
_NOT_PASSED_ON = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})


def mount(
    app: Flask | Blueprint, target: Any, path: str = "/", *, endpoint: str | None = None, within_s: float = 60.0
) -> MountedFunction:
    """Let `POST path` of the application call the function `target`.

    `target` is a decorated class or function, or what `dilu serve` takes ("app.py:Embed"). `endpoint` is Flask's name
    of the route, `dilu_NAME` by default. An answer, or the next part of one, may take `within_s`; then it is 504.
    Raises `LoadError` for what is no function.
    """
    mounted = MountedFunction(_definition(target), within_s=within_s)
    name = f"dilu_{mounted.name}" if endpoint is None else endpoint
    app.add_url_rule(path, name, mounted, methods=["POST"])
    return mounted


class MountedFunction:
    """One function behind a Flask route; its threads belong to the process that called it first."""

    def __init__(self, definition: FunctionDefinition, *, within_s: float) -> None:
        options = replace(definition.options, app=None)  # a Flask application of its own has no place behind a route
        self._definition = replace(definition, options=options)
        self._within_s = within_s
        self._replica: InProcessReplica | None = None
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._forget)
        atexit.register(self._end)

    @property
    def name(self) -> str:
        """The function's name."""
        return self._definition.spec.name

    def start(self) -> None:
        """Load and warm up now, and not at the first request. Raises what the handler raises.

        To be called in the process that answers requests: with gunicorn in its hook `post_worker_init`.
        """
        self._started()

    def close(self) -> None:
        """Finish what was accepted, unload, end every thread; another request would load the function again."""
        with self._lock:
            replica, self._replica = self._replica, None
        if replica is not None:
            replica.close(within_s=_LAST_CALLS_S)

    def __call__(self) -> Response:
        """Answer Flask's current request."""
        try:
            body = self._body()
        except RequestEntityTooLarge:
            most = self._definition.options.max_body_bytes
            return _refusal(RequestError(413, "body-too-large", f"the body is larger than {most} bytes"))
        exchange = self._begun(body)
        try:
            status, headers = exchange.head()
            passed_on = {name: value for name, value in headers.items() if name not in _NOT_PASSED_ON}
            if headers.get("content-type", "").startswith(_EVENTS):
                response = Response(exchange.pieces(), status, passed_on)
                response.call_on_close(lambda: self._abandon(exchange))  # also where its client has left
                return response
            return Response(b"".join(exchange.pieces()), status, passed_on)
        except NoAnswerError as error:
            self._abandon(exchange)
            return _refusal(RequestError(504, "no-answer", str(error)))

    def _body(self) -> bytes:
        most, own = self._definition.options.max_body_bytes, request.max_content_length
        request.max_content_length = most if own is None else min(own, most)
        return request.get_data()

    def _begun(self, body: bytes) -> InProcessCall:
        (exchange,) = self._started().begin("POST", "/", [body], _headers())
        return exchange

    def _abandon(self, exchange: InProcessCall) -> None:
        replica = self._replica
        if replica is not None:
            replica.abandon(exchange)

    def _started(self) -> InProcessReplica:
        replica = self._replica
        if replica is not None and replica.is_running:
            return replica
        with self._lock:  # who comes while it loads waits for it
            if self._replica is None or not self._replica.is_running:
                _check_threads()
                replica = InProcessReplica([self._definition], within_s=self._within_s)
                replica.start()
                self._replica = replica
            return self._replica

    def _forget(self) -> None:
        """In a forked child: the threads are the parent's, and whoever held the lock is not here."""
        self._replica = None
        self._lock = threading.Lock()

    def _end(self) -> None:
        with contextlib.suppress(NoAnswerError):  # what still runs is cut
            self.close()


def _definition(target: Any) -> FunctionDefinition:
    if isinstance(target, (str, os.PathLike)):
        return load_function(os.fspath(target))
    definition = definition_of(target)
    if definition is None:
        raise LoadError(f"{target!r}: is not decorated with @dilu.function")
    return definition


def _headers() -> Headers:
    """Those of the current request that tell about the request."""
    names = [(name.lower(), value) for name, value in request.headers]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in names if name not in _NOT_PASSED_ON]


def _refusal(error: RequestError) -> Response:
    id_ = request_id(_headers())
    return Response(error_body(error, id_), error.status, {"X-Request-Id": id_}, mimetype="application/json")


def _check_threads() -> None:
    """A loop of its own needs a thread of its own."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        raise ConfigError("threads are gevent's: a mounted function needs real ones; use gunicorn's worker gthread")
