"""The explain port: metrics for Prometheus, and for people the state of revisions and the reasons of decisions.

| request                                 | answer                                                                |
|-----------------------------------------|-----------------------------------------------------------------------|
| GET /metrics                            | Prometheus text                                                       |
| GET /v1/status[?after=KEY&limit=N]      | status document: revisions by key, each with its newest decision      |
| GET /v1/status?function=NAMESPACE/NAME  | status document: one revision with its last decisions                 |
| GET /debug/leases                       | the holders of all buckets                                            |
| GET /healthz                            | 200 as long as the event loop runs                                    |

Any client in the cluster can connect, so answers must be cheap. The metrics text is written in pieces between other
work, and reused for a second. The number of connections is limited; idle and non-reading connections are closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from aiohttp import web

from dilu.http.server_connections import ConnectionRefused, ServerConnection, accepted, cut
from dilu_autoscaler.knative.buckets.holder_identity import OUR_DEPLOYMENT
from dilu_autoscaler.knative.explaining.explain_answers import (
    Explained,
    NotAnsweredError,
    all_revisions,
    leases,
    one_revision,
)
from dilu_autoscaler.knative.explaining.metrics import CONTENT_TYPE, NumbersCollector

MAX_CONNECTIONS: Final = 64
ANSWER_WITHIN_S: Final = 10.0
"""Limit for a client to read an answer, and to send the first request on a connection."""
REUSED_FOR_S: Final = 1.0
_PATHS: Final = ("/metrics", "/v1/status", "/debug/leases", "/healthz")


class ExplainServer:
    """The HTTP server on the explain port. `ours` is the name of our Deployment."""

    def __init__(
        self,
        explained: Explained,
        *,
        ours: str = OUR_DEPLOYMENT,
        answer_within_s: float = ANSWER_WITHIN_S,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.cut = 0  # connections that were refused, or closed because they were idle or did not read
        self._explained = explained
        self._ours = ours
        self._answer_within_s = answer_within_s
        self._max_connections = max_connections
        self._collector = NumbersCollector(explained.numbers, ours=ours)
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._metrics: asyncio.Task[bytes] | None = None
        self._metrics_until_s = 0.0

    async def start(self, host: str | None = None, port: int = 9090) -> int:
        """Listen, on any free port for 0, and return the port. Raises `OSError` if the port is taken."""
        self._server = web.Server(self._answer)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._accepted, host, port)
        port_taken: int = self._listening.sockets[0].getsockname()[1]
        return port_taken

    async def close(self) -> None:
        """Close all connections and stop listening."""
        if self._listening is None or self._server is None:
            return
        self._listening.close()
        for connection in self._server.connections:
            cut(connection)
        if self._metrics is not None:
            self._metrics.cancel()
            await asyncio.gather(self._metrics, return_exceptions=True)
        await self._server.shutdown(1.0)
        await self._listening.wait_closed()

    # -- connections

    def _accepted(self) -> asyncio.Protocol:
        server = self._server
        assert server is not None
        if len(server.connections) >= self._max_connections:
            self.cut += 1
            return ConnectionRefused()
        return accepted(server, asks_within_s=self._answer_within_s, on_cut=self._cut_slow)

    def _cut_slow(self, connection: ServerConnection) -> None:
        self.cut += 1
        cut(connection)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, ServerConnection)
        connection.stop_timer()
        response = await self._response(request)
        if request.can_read_body:
            response.force_close()  # the body is not read
        try:
            async with asyncio.timeout(self._answer_within_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            self._cut_slow(connection)
        return response

    async def _response(self, request: web.BaseRequest) -> web.Response:
        try:
            answer = _ANSWERS.get(request.path)
            if answer is None:
                raise NotAnsweredError(404, "not-found", f"the paths on this port are {', '.join(_PATHS)}")
            if request.method not in ("GET", "HEAD"):
                raise NotAnsweredError(405, "method-not-allowed", f"{request.path}: only GET is allowed")
            return await answer(self, request.query)
        except NotAnsweredError as error:
            return _json(error.body, status=error.status)

    # -- answers

    async def _metrics_text(self, query: Mapping[str, str]) -> web.Response:
        """Answer with one text for all requests that arrive while it is written and within a second after."""
        loop = asyncio.get_running_loop()
        if self._metrics is None or (self._metrics.done() and loop.time() >= self._metrics_until_s):
            self._metrics = loop.create_task(self._write_metrics())
        body = await asyncio.shield(self._metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _write_metrics(self) -> bytes:
        pieces = []
        for piece in self._collector.pieces():
            pieces.append(piece)
            await asyncio.sleep(0)
        self._metrics_until_s = asyncio.get_running_loop().time() + REUSED_FOR_S
        return b"".join(pieces)

    async def _healthy(self, query: Mapping[str, str]) -> web.Response:
        return _json({"state": "ok"})

    async def _leases(self, query: Mapping[str, str]) -> web.Response:
        return _json(leases(self._explained, self._ours))

    async def _status(self, query: Mapping[str, str]) -> web.Response:
        key = query.get("function")
        if key is not None:
            return _json(one_revision(self._explained, key, self._ours))
        page = all_revisions(self._explained, self._ours, limit=query.get("limit"), after=query.get("after", ""))
        return _json(page)


_Answer: TypeAlias = Callable[[ExplainServer, Mapping[str, str]], Awaitable[web.Response]]
_ANSWERS: Final[dict[str, _Answer]] = dict(
    zip(
        _PATHS,
        (ExplainServer._metrics_text, ExplainServer._status, ExplainServer._leases, ExplainServer._healthy),
        strict=True,
    )
)


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body, enc_hook=str),
        status=status,
        headers={"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"},
    )
