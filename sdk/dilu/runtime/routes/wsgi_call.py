"""One request to a WSGI application, run in a thread of its own and answered on the server's loop.

Unlike the usual bridges it stops the application when the client disconnects: sending the next piece raises, so a
stream without a client ends, and a drain need not wait for it.
"""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

from dilu.http.answers import Headers, Receive, Scope, Send

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class ClientLeftError(ConnectionError):
    """Raised inside the application when it sends to a client that has disconnected."""


async def answer_by_wsgi(app: WsgiApp, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    """Answer one request. Raise what the application raises, unless its client has disconnected."""
    call = _WsgiCall(app, environ_of(scope, body), send)
    watch = asyncio.ensure_future(_until_disconnect(receive))
    watch.add_done_callback(lambda _: call.abandon())
    # A daemon: an application that never ends must not keep the process from exiting.
    threading.Thread(target=call.run, name="dilu-flask", daemon=True).start()
    try:
        await call.done
    except ClientLeftError:
        pass
    finally:
        call.abandon()
        watch.cancel()


def environ_of(scope: Scope, body: bytes) -> dict[str, Any]:
    """Return the WSGI environment of a request (PEP 3333)."""
    server, client = scope.get("server") or ("localhost", 80), scope.get("client")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,  # the body is complete, even if it was chunked
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if client is not None:
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = client[0], str(client[1])
    for name, value in scope["headers"]:
        if b"_" in name:
            continue  # it would get the same key as the name with a dash, which proxies check or set
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


async def _until_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _WsgiCall:
    """The thread's side: collects status and headers, sends pieces, stops when its client has disconnected."""

    def __init__(self, app: WsgiApp, environ: dict[str, Any], send: Send) -> None:
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._app = app
        self._environ = environ
        self._send = send
        self._head: dict[str, Any] | None = None
        self._head_sent = False
        self._abandoned = False

    def abandon(self) -> None:
        """Stop: the client has disconnected, or the call is over."""
        self._abandoned = True

    def run(self) -> None:
        """Run the application to its end, in this thread."""
        error: BaseException | None = None
        try:
            self._answer()
        except BaseException as raised:
            error = raised
        self._loop.call_soon_threadsafe(self._finish, error)

    def _answer(self) -> None:
        pieces = self._app(self._environ, self._start_response)
        try:
            has_length = any(name == b"content-length" for name, _ in self._headers())
            if has_length:
                self._piece(b"".join(pieces), more=False)  # not a stream: one step on the loop is enough
                return
            for piece in pieces:
                if piece:
                    self._piece(piece, more=True)
            self._piece(b"", more=False)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None and self._head_sent:
            raise exc_info[1].with_traceback(exc_info[2])
        encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._head = {"type": "http.response.start", "status": int(status.split(" ", 1)[0]), "headers": encoded}
        return lambda piece: self._piece(piece, more=True)

    def _headers(self) -> Headers:
        if self._head is None:
            raise RuntimeError("the application returned without calling start_response")
        headers: Headers = self._head["headers"]
        return headers

    def _piece(self, piece: bytes, *, more: bool) -> None:
        if self._abandoned:
            raise ClientLeftError("the client has disconnected")
        asyncio.run_coroutine_threadsafe(self._send_piece(piece, more), self._loop).result()

    async def _send_piece(self, piece: bytes, more: bool) -> None:
        if not self._head_sent:
            self._head_sent = True
            await self._send(self._head)
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})

    def _finish(self, error: BaseException | None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        elif isinstance(error, Exception):
            self.done.set_exception(error)
        else:
            self.done.set_exception(RuntimeError(f"the route raised {type(error).__name__}"))
