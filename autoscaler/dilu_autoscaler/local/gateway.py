"""The ASGI application in front of all functions: it finds the function of a request, or answers itself."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dilu.errors import RequestError
from dilu.http.answers import CLOSE, Headers, Receive, Scope, Send, send_error, send_json
from dilu_autoscaler.local.headers import RequestHead, read_head
from dilu_autoscaler.local.proxied_request import GatewayLimits, ProxiedRequest, ServedFunction
from dilu_autoscaler.local.routing import OWN_PREFIX, Router


class GatewayApp:
    """Passes requests to replicas. Each one ends with an answer, an error, or the disconnection of its client."""

    def __init__(self, router: Router, functions: Mapping[str, ServedFunction], limits: GatewayLimits) -> None:
        self._router = router
        self._functions = functions
        self._limits = limits
        self.is_draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        client = scope["client"]
        head = read_head(scope["headers"], client[0] if client else "unknown", scope["scheme"])
        path = scope["raw_path"]
        if path.startswith(OWN_PREFIX):
            await self._answer_own(path, head, send)
            return
        route = self._router.route(path, head.host)
        if route is None:
            known = ", ".join(self._functions)
            error = RequestError(404, "unknown-function", f"{scope['path']}: no such function; available: {known}")
            await send_error(send, error, head.request_id, self._closing())
            return
        name, path = route
        await ProxiedRequest(self._functions[name], self._limits, scope, receive, send, head, path, self._closing).run()

    async def _answer_own(self, path: bytes, head: RequestHead, send: Send) -> None:
        if path == OWN_PREFIX + b"healthz":
            status, state = (503, "draining") if self.is_draining else (200, "ok")
            await send_json(send, status, msgspec.json.encode({"status": state}), self._closing())
        else:
            error = RequestError(404, "not-found", "the gateway itself has /_dilu/healthz only")
            await send_error(send, error, head.request_id, self._closing())

    def _closing(self) -> Headers:
        """Return the headers that, while draining, tell the client to leave this connection."""
        return [CLOSE] if self.is_draining else []
