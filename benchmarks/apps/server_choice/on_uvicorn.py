"""uvicorn as a library: ASGI, with Flask behind a2wsgi."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import uvicorn
from a2wsgi import WSGIMiddleware

from apps.server_choice.application import STATE, flask_app
from apps.server_choice.draining import on_sigterm
from apps.server_choice.routes import route


class AsgiExchange:
    """The exchange on ASGI."""

    __slots__ = ("_flask", "_receive", "_scope", "_send")

    def __init__(self, scope: Any, receive: Any, send: Any, flask: Any) -> None:
        self._scope, self._receive, self._send, self._flask = scope, receive, send, flask

    async def read(self) -> bytes:
        """Read the whole body."""
        message = await self._receive()
        body: bytes = message["body"]
        while message.get("more_body"):
            message = await self._receive()
            body += message["body"]
        return body

    async def answer(self, body: bytes) -> None:
        """Send a JSON answer."""
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if STATE.draining:
            headers.append((b"connection", b"close"))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def events(self) -> Callable[[bytes], Awaitable[None]]:
        """Start a stream of server-sent events; return the function that sends one."""
        headers = [(b"content-type", b"text/event-stream")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

        async def send(event: bytes) -> None:
            await self._send({"type": "http.response.body", "body": event, "more_body": True})

        return send

    async def disconnected(self) -> None:
        """Return once the client has disconnected."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def flask(self) -> None:
        """Let Flask answer."""
        await self._flask(self._scope, self._receive, self._send)


class Library(uvicorn.Server):
    """A server that leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture no signal."""
        yield


async def serve(port: int, stats_port: int, *, ours: bool, flask_threads: int) -> None:
    """Two listeners in one process until SIGTERM; with `ours`, SIGTERM means what we say."""
    flask = WSGIMiddleware(flask_app(), workers=flask_threads)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await route(AsgiExchange(scope, receive, send, flask), scope["path"])

    main = (Library if ours else uvicorn.Server)(_config(app, port))
    stats = Library(_config(app, stats_port))

    def end() -> None:
        main.should_exit = stats.should_exit = True

    if ours:
        on_sigterm(end, ours=True)
        await asyncio.gather(main.serve(), stats.serve())
    else:
        beside = asyncio.create_task(stats.serve())
        await main.serve()
        await beside


def _config(app: Any, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app, port=port, http="httptools", loop="uvloop", ws="none", lifespan="off", access_log=False,
        log_level="warning", timeout_keep_alive=75, backlog=4096,
    )  # fmt: skip
