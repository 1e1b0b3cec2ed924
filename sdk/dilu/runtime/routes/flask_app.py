"""A function's own Flask application behind the invoke path. Its requests have bodies that are already bounded.

Imported only for functions that have one: Flask is a third of the time and memory of a replica without a model.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException, NotFound

from dilu.errors import RequestError
from dilu.http.answers import ClientGoneError, Headers, Receive, Scope, Send, read_body, request_id, send_error
from dilu.runtime.routes.wsgi_call import answer_by_wsgi

_log = logging.getLogger(__name__)

# Each runs in a thread of its own, a stream as long as it lasts; further requests wait for one of these to end.
MAX_ROUTES_AT_ONCE = 64


class FlaskRoutes:
    """A Flask application as ASGI, in threads of its own, so that a slow route never blocks the invoke path."""

    def __init__(self, app: Flask, *, max_body_bytes: int) -> None:
        self.app = app
        self._max_body_bytes = max_body_bytes
        self._slots = asyncio.Semaphore(MAX_ROUTES_AT_ONCE)
        self._urls = app.url_map.bind("")

    def has_path(self, path: str) -> bool:
        """Return whether a route of the application has this path, even if it redirects or has another method."""
        try:
            self._urls.match(path)
        except NotFound:
            return False
        except HTTPException:
            return True
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send, headers: Headers) -> None:
        """Answer one request; `headers` are added to the answer."""
        id_ = request_id(scope["headers"])
        started = False

        async def send_with_headers(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {
                    **message,
                    "headers": [*_without_id(message["headers"]), (b"x-request-id", id_.encode()), *headers],
                }
            await send(message)

        try:
            body = await read_body(scope, receive, self._max_body_bytes)
            async with self._slots:
                with_id = _with_request_id(scope, id_)
                await answer_by_wsgi(self.app.wsgi_app, with_id, body, receive, send_with_headers)
        except ClientGoneError:
            return
        except RequestError as error:
            await send_error(send, error, id_, headers)
        except Exception:
            _log.exception("%s %s failed", scope["method"], scope["path"], extra={"request_ids": [id_]})
            if started:
                raise  # the answer is cut short; the client sees it by the closed connection
            await send_error(send, RequestError(500, "route-failed", "this route failed"), id_, headers)


def _with_request_id(scope: Scope, id_: str) -> dict[str, Any]:
    return {**scope, "headers": [*_without_id(scope["headers"]), (b"x-request-id", id_.encode())]}


def _without_id(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name != b"x-request-id"]
