"""A function's own Flask application behind the invoke path, reached from ASGI with a body that is already bounded.

Imported only for functions that bring one: Flask is a third of the time and memory of a replica without a model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any

from a2wsgi import WSGIMiddleware
from flask import Flask

from dilu.errors import RequestError
from dilu.runtime.answers import Receive, Scope, Send, read_body, request_id, send_error

_log = logging.getLogger(__name__)
FLASK_THREADS = 10


class FlaskRoutes:
    """A Flask application as ASGI, in threads of its own so that a slow route never holds the invoke path up."""

    def __init__(self, app: Flask, *, max_body_bytes: int) -> None:
        self.app = app
        self._max_body_bytes = max_body_bytes
        self._asgi = WSGIMiddleware(_marks_end_of_input(app), workers=FLASK_THREADS)

    def has_path(self, path: str) -> bool:
        """Whether a route of the application answers this path with some method."""
        return bool(self.app.url_map.bind("").allowed_methods(path))

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        """Answer one request; `headers` are added to the answer."""
        id_ = request_id(scope["headers"])
        started = False

        async def send_once(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], (b"x-request-id", id_.encode()), *headers]}
            await send(message)

        try:
            body = await read_body(scope, receive, self._max_body_bytes)
            await self._asgi(_with_request_id(scope, id_), _replay(body, receive), send_once)
        except RequestError as error:
            await send_error(send, error, id_, headers)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"], extra={"request_ids": [id_]})
            if started:
                raise  # the answer is cut short: only closing the connection tells the client
            await send_error(send, RequestError(500, "route-failed", "this route failed"), id_, headers)

    def close(self) -> None:
        """Let the threads end."""
        self._asgi.executor.shutdown(wait=False, cancel_futures=True)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive channel that gives the body that was read, then whatever comes after it."""
    given = False

    async def again() -> Any:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_request_id(scope: Scope, id_: str) -> Any:
    others = [(name, value) for name, value in scope["headers"] if name != b"x-request-id"]
    return {**scope, "headers": [*others, (b"x-request-id", id_.encode())]}


def _marks_end_of_input(app: Flask) -> Callable[[dict[str, Any], Any], Iterable[bytes]]:
    """Tell Werkzeug that the input ends by itself; it would take a chunked body for empty otherwise."""

    def wsgi(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        environ["wsgi.input_terminated"] = True
        return app.wsgi_app(environ, start_response)

    return wsgi
