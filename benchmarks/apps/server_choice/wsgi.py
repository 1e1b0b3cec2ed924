"""The routes on a WSGI server, which runs us as its child process: `apps.server_choice.wsgi:WsgiApp()`."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from apps.server_choice.application import BATCH, STATE, STREAMS, echo, facts, flask_app, load


class WsgiApp:
    """The fast path in front of Flask on WSGI. A request holds its thread until it is answered."""

    def __init__(self) -> None:
        load()
        self._flask = flask_app()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Return the body of the answer."""
        path = environ["PATH_INFO"]
        if path in ("/", "/thread"):
            body = echo(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        elif path in STREAMS:
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return _events(*STREAMS[path])
        elif path == "/healthz":
            body = b"{}"
        elif path == "/predict":
            body = BATCH.join().result()
        elif path == "/sleep":
            time.sleep(0.5)
            body = b"{}"
        elif path == "/disconnected":
            body = _wait_until_disconnected(environ.get("gunicorn.socket"))
        elif path == "/facts":
            body = facts()
        else:
            return self._flask(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
        return [body]


def _events(event: bytes, every_s: float) -> Iterator[bytes]:
    STATE.open_streams += 1
    try:
        while True:
            yield event
            time.sleep(every_s)
    finally:
        STATE.open_streams -= 1


def _wait_until_disconnected(raw: socket.socket | None) -> bytes:
    # WSGI has no word for it. gunicorn hands out the raw socket, at which a handler can look now and then.
    until_s = time.monotonic() + 1.5
    while time.monotonic() < until_s:
        time.sleep(0.05)
        if raw is not None:
            with contextlib.suppress(BlockingIOError):
                if raw.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b"":
                    STATE.disconnected_s = time.monotonic()
                    break
    return b"{}"
