"""A replica in a thread of this process, called without a socket; for `dilu.testing` and `dilu.flask`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import uvloop

from dilu.errors import DiluError
from dilu.handlers import FunctionDefinition
from dilu.http import bounded_protocol
from dilu.http.answers import Headers, Scope
from dilu.runtime.execution.service import FunctionService, State
from dilu.runtime.execution.service_group import ServiceGroup
from dilu.runtime.reporting.exposition import ReplicaCollector
from dilu.runtime.reporting.metrics import FunctionMetrics
from dilu.runtime.routes.invoke_app import InvokeApp
from dilu.runtime.routes.stats_app import StatsApp

_log = logging.getLogger(__name__)
_HOST = "localhost"
_END = object()
_CYCLE = bounded_protocol.CYCLE  # the key under which the application finds a request's connection


class NoAnswerError(DiluError):
    """A request was not answered: it took too long, or the replica cut the connection."""


class _InProcessTransport:
    """The part of a connection that `dilu.http.bounded_protocol` uses; only whether its client has left."""

    more_body = True  # the body comes by `receive`
    response_started = True  # the answer goes by `send`

    def __init__(self) -> None:
        self.client_left = asyncio.Event()

    @property
    def disconnected(self) -> bool:
        return self.client_left.is_set()

    @property
    def transport(self) -> _InProcessTransport:
        return self

    def is_closing(self) -> bool:
        return self.disconnected


@dataclass(slots=True, kw_only=True, eq=False)
class InProcessCall:
    """One request and its answer. Reading waits at most `within_s` for each piece of the answer."""

    scope: Scope
    body: bytes
    within_s: float
    connection: _InProcessTransport = field(default_factory=_InProcessTransport)
    _messages: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)

    def head(self) -> tuple[int, dict[str, str]]:
        """Return the status and the headers, whose names are in lower case."""
        message = self._next()
        if message is _END:
            raise NoAnswerError(f"{self}: the replica cut the connection before an answer")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        return message["status"], headers

    def pieces(self) -> Iterator[bytes]:
        """Yield the pieces of the body. Raise `NoAnswerError` if it is cut."""
        while True:
            message = self._next()
            if message is _END:
                raise NoAnswerError(f"{self}: the replica cut the answer")
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    def _next(self) -> Any:
        try:
            message = self._messages.get(timeout=self.within_s)
        except queue.Empty:
            raise NoAnswerError(f"{self}: no answer within {self.within_s:g} s") from None
        if isinstance(message, BaseException):
            raise NoAnswerError(f"{self}: the replica cut the answer") from message
        return message

    def __str__(self) -> str:
        return f"{self.scope['method']} {self.scope['path']}"

    async def serve(self, app: InvokeApp) -> None:
        """Let the application answer, on the replica's loop."""
        has_body = True

        async def receive() -> Any:
            nonlocal has_body
            if has_body:
                has_body = False
                return {"type": "http.request", "body": self.body, "more_body": False}
            await self.connection.client_left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self._messages.put(message)

        try:
            await app(self.scope, receive, send)
        except Exception as error:
            self._messages.put(error)
        finally:
            self.cut()

    def cut(self) -> None:
        """End the answer here."""
        self._messages.put(_END)


class InProcessReplica:
    """Loads functions and answers requests until it is closed."""

    def __init__(self, definitions: Sequence[FunctionDefinition], *, within_s: float) -> None:
        self._definitions = definitions
        self._within_s = within_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: InvokeApp | None = None
        self._stop: asyncio.Event | None = None
        self._loaded: Future[None] = Future()
        self._ended: Future[bool] = Future()
        self._is_ending = False
        self._running: dict[asyncio.Task[None], InProcessCall] = {}
        self._thread = threading.Thread(target=self._run, name="dilu-in-process", daemon=True)

    def start(self) -> None:
        """Load and warm up. Raise what the handler raises."""
        self._thread.start()
        try:
            self._loaded.result()
        except BaseException:
            self.close()
            raise

    @property
    def is_running(self) -> bool:
        """Whether it accepts requests: it was started, not closed, and its handler's threads are alive."""
        return self._loop is not None and not self._is_ending and not self._ended.done()

    def begin(self, method: str, path: str, bodies: Sequence[bytes], headers: Headers) -> list[InProcessCall]:
        """Send one request for each body, all at the same time."""
        if self._loop is None or not self.is_running:
            raise RuntimeError("the replica does not run; use the client in a with statement")
        exchanges = [
            InProcessCall(scope=_scope(method, path, body, headers), body=body, within_s=self._within_s)
            for body in bodies
        ]
        for exchange in exchanges:
            exchange.scope["extensions"][_CYCLE] = exchange.connection
        self._loop.call_soon_threadsafe(self._serve, exchanges)
        return exchanges

    def abandon(self, exchange: InProcessCall) -> None:
        """Disconnect the client of this request."""
        if self._loop is not None and not self._ended.done():
            with contextlib.suppress(RuntimeError):  # the loop has ended in the meantime
                self._loop.call_soon_threadsafe(exchange.connection.client_left.set)

    def close(self, *, within_s: float | None = None) -> None:
        """Finish what was accepted, unload, end all threads. Raise `NoAnswerError` if a handler does not end."""
        self._within_s = self._within_s if within_s is None else within_s
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(2 * self._within_s)
        if self._thread.is_alive() or not self._ended.result():
            raise NoAnswerError(f"the handler did not end within {self._within_s:g} s")

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                self._ended.set_result(runner.run(self._main()))
        except BaseException as error:
            self._ended.set_result(True)
            if not self._loaded.done():
                self._loaded.set_exception(error)

    async def _main(self) -> bool:
        """Load, serve and close. Return whether everything ended in time."""
        self._stop = asyncio.Event()
        metrics = [FunctionMetrics(one.spec.name, slo_s=one.spec.slo_s) for one in self._definitions]
        pairs = zip(self._definitions, metrics, strict=True)
        group = ServiceGroup([FunctionService(definition, numbers) for definition, numbers in pairs])
        registry = ReplicaCollector(metrics, version="test").registry()
        self._app = InvokeApp(group.services, StatsApp(group, registry, replica=None))
        self._loop = asyncio.get_running_loop()
        load = asyncio.ensure_future(group.load())
        stopped = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait({load, stopped}, return_when=asyncio.FIRST_COMPLETED)
        error = load.exception() if load.done() else None
        if error is not None:
            self._loaded.set_exception(error)
        elif load.done():
            self._loaded.set_result(None)
            await self._until(stopped, group)
        return await self._end(group)  # an interrupted load is left to its thread

    async def _until(self, stopped: asyncio.Future[Any], group: ServiceGroup) -> None:
        """Wait for the stop. If the handler's threads die before, cancel the requests that wait for them."""
        ended = asyncio.ensure_future(group.ended())
        await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            ended.cancel()
            return
        self._is_ending = True  # requests from here on wait for the next replica, not for this one
        _log.critical("%s stops: the threads of its handler died", group.name, exc_info=ended.exception())
        for task in self._running:
            task.cancel()

    async def _end(self, group: ServiceGroup) -> bool:
        self._is_ending = True
        deadline_s = time.monotonic() + self._within_s
        for exchange in self._running.values():
            exchange.connection.client_left.set()
        if self._running:  # most end at once, because their clients have left
            await asyncio.wait(self._running, timeout=self._within_s)
        loaded = [service for service in group.services if service.state is State.READY]
        ended = [await service.close(max(0.0, deadline_s - time.monotonic())) for service in loaded]
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        return all(ended)

    def _serve(self, exchanges: Sequence[InProcessCall]) -> None:
        assert self._app is not None
        for exchange in exchanges:
            if self._is_ending:  # sent in the moment before
                exchange.cut()
                continue
            task = asyncio.ensure_future(exchange.serve(self._app))
            self._running[task] = exchange
            task.add_done_callback(self._running.pop)


def _scope(method: str, target: str, body: bytes, headers: Headers) -> dict[str, Any]:
    path, _, query = target.partition("?")
    own = [(b"host", _HOST.encode())]
    if body or method in ("POST", "PUT", "PATCH"):
        own.append((b"content-length", b"%d" % len(body)))
    given = {name for name, _ in headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [*(one for one in own if one[0] not in given), *headers],
        "client": ("127.0.0.1", 0),
        "server": (_HOST, 80),
        "extensions": {},
    }
