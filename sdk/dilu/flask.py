"""Dilu functions as routes of an existing Flask application.

    from dilu.flask import mount

    mount(app, Embed, "/embed")

It is an ordinary route: hooks before and after it, blueprints, `app.test_client()` and every WSGI server work as
before. Behind it, requests of all the server's threads form batches, and are checked, bounded and refused as in
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

# Time to finish at exit: a handler that hangs must not keep the server's process alive.
_LAST_CALLS_S = 5.0
_EVENTS = "text/event-stream"
# Headers of the connection, which the server and Flask set themselves.
_NOT_PASSED_ON = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})


def mount(
    app: Flask | Blueprint, target: Any, path: str = "/", *, endpoint: str | None = None, within_s: float = 60.0
) -> MountedFunction:
    """Make `POST path` of the application call the function `target`.

    `target` is a decorated class or function, or a target of `dilu serve` ("app.py:Embed"). `endpoint` is Flask's
    name of the route, `dilu_NAME` by default. If an answer, or its next part, takes longer than `within_s`, it is
    504. Raise `LoadError` if `target` is not a function.
    """
    mounted = MountedFunction(_definition(target), within_s=within_s)
    name = f"dilu_{mounted.name}" if endpoint is None else endpoint
    app.add_url_rule(path, name, mounted, methods=["POST"])
    return mounted


class MountedFunction:
    """One function behind a Flask route; its threads run in the process that called it first."""

    def __init__(self, definition: FunctionDefinition, *, within_s: float) -> None:
        options = replace(definition.options, app=None)  # an application of its own cannot be served behind a route
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
        """Load and warm up now, not at the first request. Raise what the handler raises.

        Call it in the process that answers requests; with gunicorn in its hook `post_worker_init`.
        """
        self._started()

    def close(self) -> None:
        """Finish what was accepted, unload, end all threads. Another request loads the function again."""
        with self._lock:
            replica, self._replica = self._replica, None
        if replica is not None:
            replica.close(within_s=_LAST_CALLS_S)

    def __call__(self) -> Response:
        """Answer Flask's current request."""
        try:
            body = self._body()
        except RequestEntityTooLarge:
            max_bytes = self._definition.options.max_body_bytes
            return _refusal(RequestError(413, "body-too-large", f"the body is larger than {max_bytes} bytes"))
        exchange = self._begun(body)
        try:
            status, headers = exchange.head()
            passed_on = {name: value for name, value in headers.items() if name not in _NOT_PASSED_ON}
            if headers.get("content-type", "").startswith(_EVENTS):
                response = Response(exchange.pieces(), status, passed_on)
                response.call_on_close(lambda: self._abandon(exchange))  # also if the client has left
                return response
            return Response(b"".join(exchange.pieces()), status, passed_on)
        except NoAnswerError as error:
            self._abandon(exchange)
            return _refusal(RequestError(504, "no-answer", str(error)))

    def _body(self) -> bytes:
        max_bytes, own = self._definition.options.max_body_bytes, request.max_content_length
        request.max_content_length = max_bytes if own is None else min(own, max_bytes)
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
        with self._lock:  # requests that come while it loads wait for it
            if self._replica is None or not self._replica.is_running:
                _check_threads()
                replica = InProcessReplica([self._definition], within_s=self._within_s)
                replica.start()
                self._replica = replica
            return self._replica

    def _forget(self) -> None:
        """Reset in a forked child: the threads are the parent's, and the lock may be held by one of them."""
        self._replica = None
        self._lock = threading.Lock()

    def _end(self) -> None:
        with contextlib.suppress(NoAnswerError):  # calls that still run are cut
            self.close()


def _definition(target: Any) -> FunctionDefinition:
    if isinstance(target, (str, os.PathLike)):
        return load_function(os.fspath(target))
    definition = definition_of(target)
    if definition is None:
        raise LoadError(f"{target!r}: is not decorated with @dilu.function")
    return definition


def _headers() -> Headers:
    """Return the headers of the current request without those of the connection."""
    names = [(name.lower(), value) for name, value in request.headers]
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in names if name not in _NOT_PASSED_ON]


def _refusal(error: RequestError) -> Response:
    id_ = request_id(_headers())
    return Response(error_body(error, id_), error.status, {"X-Request-Id": id_}, mimetype="application/json")


def _check_threads() -> None:
    """Raise `ConfigError` under gevent: the function's event loop needs a real thread."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        raise ConfigError("threads are gevent's: a mounted function needs real ones; use gunicorn's worker gthread")
