"""The ASGI application for probes and scrapes: `/healthz`, `/readyz`, `/metrics`, `/v1/stats`."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from dilu.errors import RequestError
from dilu.http.answers import Receive, Scope, Send, request_id, send_error, send_json
from dilu.runtime.execution.service import State


class WatchedReplica(Protocol):
    """The part of a replica that the application reads."""

    @property
    def state(self) -> State:
        """The phase of the replica's life."""
        ...

    def stats(self, replica: str | None) -> dict[str, Any]:
        """Return the body of `/v1/stats`."""
        ...


class StatsApp:
    """Answers probes and scrapes. They do not count as traffic and never wait for the handler."""

    paths = frozenset({"/healthz", "/readyz", "/metrics", "/v1/stats"})

    def __init__(self, watched: WatchedReplica, registry: CollectorRegistry, *, replica: str | None) -> None:
        self._watched = watched
        self._registry = registry
        self._replica = replica

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path, method = scope["path"], scope["method"]
        if path not in self.paths:
            error = RequestError(
                404, "not-found", f"{path}: the paths on this port are {', '.join(sorted(self.paths))}"
            )
            await send_error(send, error, request_id(scope["headers"]))
        elif method not in ("GET", "HEAD"):
            error = RequestError(405, "method-not-allowed", f"{method} {path}: only GET is answered here")
            await send_error(send, error, request_id(scope["headers"]), [(b"allow", b"GET")])
        elif path == "/metrics":
            await self._metrics(scope, send)
        else:
            await self._json(path, send)

    async def _json(self, path: str, send: Send) -> None:
        state = self._watched.state
        if path == "/v1/stats":
            await send_json(send, 200, msgspec.json.encode(self._watched.stats(self._replica)))
            return
        is_healthy = path == "/healthz" or state is State.READY
        await send_json(send, 200 if is_healthy else 503, msgspec.json.encode({"state": state.value}))

    async def _metrics(self, scope: Scope, send: Send) -> None:
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        encode, content_type = choose_encoder(accept)
        body = encode(self._registry)
        headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
