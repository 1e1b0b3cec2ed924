"""Tells people and Prometheus what the autoscaler sees and why it decides so, on the port of its metrics.

| request                                       | answer                                                        |
|-----------------------------------------------|---------------------------------------------------------------|
| GET /metrics                                  | Prometheus' text                                              |
| GET /debug/decisions[?after=KEY&limit=N]      | the revisions, sorted, each with its newest decision          |
| GET /debug/decisions?revision=NAMESPACE/NAME  | the last decisions on one, the oldest first                   |
| GET /debug/leases                             | who holds which bucket                                        |
| GET /healthz                                  | 200 as long as the loop runs                                  |

Anybody in the cluster can ask, so looking must not cost much: what is long is made bit by bit between other work, and
not anew for whoever asks within a second; connections are few, and those that send nothing or do not read are cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from aiohttp import web

from dilu.http.server_connections import ConnectionRefused, ServerConnection, accepted, cut
from dilu_autoscaler.knative.buckets.holder_identity import OUR_DEPLOYMENT
from dilu_autoscaler.knative.explaining.explain_answers import Explained, NotAnsweredError, decisions, leases, revisions
from dilu_autoscaler.knative.explaining.metrics import CONTENT_TYPE, NumbersCollector

MOST_CONNECTIONS: Final = 64
ANSWER_WITHIN_S: Final = 10.0
"""For an answer to be read, and for the first question on a connection."""
REUSED_FOR_S: Final = 1.0
_PATHS: Final = ("/metrics", "/debug/decisions", "/debug/leases", "/healthz")


class ExplainServer:
    """Serves what `explained` knows; `ours` is the name of our Deployment."""

    def __init__(
        self,
        explained: Explained,
        *,
        ours: str = OUR_DEPLOYMENT,
        answer_within_s: float = ANSWER_WITHIN_S,
        most_connections: int = MOST_CONNECTIONS,
    ) -> None:
        self.cut = 0  # connections that were ended for what they did, or did not
        self._explained = explained
        self._ours = ours
        self._answer_within_s = answer_within_s
        self._most_connections = most_connections
        self._collector = NumbersCollector(explained.numbers, ours=ours)
        self._server: web.Server | None = None
        self._listening: asyncio.Server | None = None
        self._metrics: asyncio.Task[bytes] | None = None
        self._metrics_until_s = 0.0

    async def start(self, host: str | None = None, port: int = 9090) -> int:
        """Listen; the port, of which 0 means any that is free. Raises `OSError` where that is not possible."""
        self._server = web.Server(self._answer)
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(self._accepted, host, port)
        port_taken: int = self._listening.sockets[0].getsockname()[1]
        return port_taken

    async def close(self) -> None:
        """End all connections."""
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
        if len(server.connections) >= self._most_connections:
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
            response.force_close()  # nobody reads it
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
                raise NotAnsweredError(404, "not-found", f"this port has {', '.join(_PATHS)}")
            if request.method not in ("GET", "HEAD"):
                raise NotAnsweredError(405, "method-not-allowed", f"{request.path}: only GET is answered here")
            return await answer(self, request.query)
        except NotAnsweredError as error:
            return _json(error.body, status=error.status)

    # -- answers

    async def _metrics_text(self, query: Mapping[str, str]) -> web.Response:
        """The text of one making for all that ask meanwhile, and shortly after."""
        loop = asyncio.get_running_loop()
        if self._metrics is None or (self._metrics.done() and loop.time() >= self._metrics_until_s):
            self._metrics = loop.create_task(self._make_metrics())
        body = await asyncio.shield(self._metrics)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})

    async def _make_metrics(self) -> bytes:
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

    async def _decisions(self, query: Mapping[str, str]) -> web.Response:
        key = query.get("revision")
        if key is None:
            return _json(revisions(self._explained, limit=query.get("limit"), after=query.get("after", "")))
        return _json(decisions(self._explained, key, self._ours))


_Answer: TypeAlias = Callable[[ExplainServer, Mapping[str, str]], Awaitable[web.Response]]
_ANSWERS: Final[dict[str, _Answer]] = dict(
    zip(
        _PATHS,
        (ExplainServer._metrics_text, ExplainServer._decisions, ExplainServer._leases, ExplainServer._healthy),
        strict=True,
    )
)


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body, enc_hook=str),
        status=status,
        headers={"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"},
    )
