"""granian's embedded server: RSGI, with a bridge to Flask of our own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any

from granian.constants import Interfaces
from granian.rsgi import ProtocolClosed
from granian.server.embed import Server

from apps.server_choice.application import STATE, flask_app
from apps.server_choice.draining import on_sigterm
from apps.server_choice.routes import route


class RsgiExchange:
    """The exchange on RSGI."""

    __slots__ = ("_flask", "_protocol", "_scope")

    def __init__(self, scope: Any, protocol: Any, flask: Any) -> None:
        self._scope, self._protocol, self._flask = scope, protocol, flask

    async def read(self) -> bytes:
        """Read the whole body."""
        body: bytes = await self._protocol()
        return body

    async def answer(self, body: bytes) -> None:
        """Send a JSON answer."""
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        if STATE.draining:
            headers.append(("connection", "close"))
        self._protocol.response_bytes(200, headers, body)

    async def events(self) -> Callable[[bytes], Awaitable[None]]:
        """Start a stream of server-sent events; return the function that sends one."""
        transport = self._protocol.response_stream(200, [("content-type", "text/event-stream")])

        async def send(event: bytes) -> None:
            try:
                await transport.send_bytes(event)
            except ProtocolClosed as closed:
                raise ConnectionError("the client went away") from closed

        return send

    async def disconnected(self) -> None:
        """Return once the client has disconnected."""
        await self._protocol.client_disconnect()

    async def flask(self) -> None:
        """Let Flask answer."""
        body = await self._protocol()
        call = asyncio.get_running_loop().run_in_executor(None, call_wsgi, self._flask, self._scope, body)
        self._protocol.response_bytes(*await call)


def call_wsgi(app: Any, scope: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    """Call a WSGI application for an RSGI request; return status, headers and body. No package has this bridge."""
    host, _, port = scope.server.rpartition(":")
    environ = {
        "REQUEST_METHOD": scope.method, "SCRIPT_NAME": "", "PATH_INFO": scope.path, "QUERY_STRING": scope.query_string,
        "SERVER_NAME": host, "SERVER_PORT": port, "SERVER_PROTOCOL": f"HTTP/{scope.http_version}",
        "REMOTE_ADDR": scope.client.rpartition(":")[0], "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": scope.headers.get("content-type", ""), "wsgi.version": (1, 0), "wsgi.url_scheme": scope.scheme,
        "wsgi.input": BytesIO(body), "wsgi.errors": sys.stderr, "wsgi.multithread": True, "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }  # fmt: skip
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in scope.headers.items()}
    started: list[tuple[int, list[tuple[str, str]]]] = []
    chunks = app(environ, lambda status, headers, *_: started.append((int(status.split()[0]), headers)))
    try:
        whole = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return *started[0], whole


async def serve(port: int, stats_port: int, *, ours: bool) -> None:
    """Two servers in one process until SIGTERM."""
    flask = flask_app()

    async def app(scope: Any, protocol: Any) -> None:
        await route(RsgiExchange(scope, protocol, flask), scope.path)

    main, stats = _server(app, port), _server(app, stats_port)

    def end() -> None:
        main.stop()
        stats.stop()

    on_sigterm(end, ours=ours)
    await asyncio.gather(main.serve(), stats.serve())


def _server(app: Any, port: int) -> Any:
    return Server(
        app, port=port, interface=Interfaces.RSGI, websockets=False, backlog=4096, backpressure=4096, log_enabled=False
    )
