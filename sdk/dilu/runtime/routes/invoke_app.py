"""The ASGI application on PORT: the functions' routes, the probes, and Flask for all other paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dilu.errors import RequestError
from dilu.http.answers import CLOSE, Headers, Receive, Scope, Send, error_headers, request_id, send_json
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import serve
from dilu.runtime.execution.service import FunctionService, State, starting_error
from dilu.runtime.protocols import error_body_for
from dilu.runtime.routes.function_routes import RouteTable, route_table
from dilu.runtime.routes.stats_app import StatsApp

if TYPE_CHECKING:
    from dilu.runtime.routes.flask_app import FlaskRoutes


class InvokeApp:
    """Routes requests: functions first, then routes of a Flask application, then probes and descriptions."""

    def __init__(self, services: Sequence[FunctionService], stats: StatsApp) -> None:
        self._services = services
        self._stats = stats
        self._routes: RouteTable = route_table(services)
        self._flask: FlaskRoutes | None = flask_routes(services)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        path = scope["path"]
        found = self._routes.get(path)
        own = None if found is None else found.get(scope["method"])
        if own is not None and (own.route.counts or self._flask is None or not self._flask.has_path(path)):
            await serve(Call(own.service, scope, receive, send), own.route)
        elif self._flask is not None and self._flask.has_path(path):
            await self._answer_by_flask(self._flask, scope, receive, send)
        elif path in self._stats.paths:
            await self._stats(scope, receive, send)
        elif found is not None:
            allowed = ", ".join(sorted(found))
            error = RequestError(405, "method-not-allowed", f"{scope['method']} {path}: allowed are {allowed}")
            await self._refuse(scope, send, error, [(b"allow", allowed.encode())])
        else:
            await self._refuse(
                scope, send, RequestError(404, "not-found", f"{path[:200]}: no such path; {self._hint()}")
            )

    async def _answer_by_flask(self, flask: FlaskRoutes, scope: Scope, receive: Receive, send: Send) -> None:
        if any(service.state is State.STARTING for service in self._services):
            await self._refuse(scope, send, starting_error())
        else:
            await flask(scope, receive, send, self._closing())

    def _hint(self) -> str:
        calls = [path for path, methods in self._routes.items() if "POST" in methods and methods["POST"].is_plain]
        return f"POST to {' or '.join(calls)} instead"

    async def _refuse(self, scope: Scope, send: Send, error: RequestError, headers: Headers | None = None) -> None:
        id_ = request_id(scope["headers"])
        body = error_body_for(scope["path"])(error, id_)
        await send_json(send, error.status, body, [*error_headers(error, id_), *(headers or ()), *self._closing()])

    def _closing(self) -> Headers:
        """Return the header that asks the client to close this connection, while draining."""
        return [CLOSE] if self._services[0].state is State.DRAINING else []


def flask_routes(services: Sequence[FunctionService]) -> FlaskRoutes | None:
    """Return the Flask application of the functions, or None. Raise `ConfigError` for two different ones."""
    apps = {id(app): app for service in services if (app := service.definition.options.app) is not None}
    if not apps:
        return None
    from dilu.errors import ConfigError
    from dilu.runtime.routes.flask_app import FlaskRoutes

    if len(apps) > 1:
        raise ConfigError("app: the functions of one replica have different Flask applications; give them the same")
    max_bytes = max(service.definition.options.max_body_bytes for service in services)
    return FlaskRoutes(next(iter(apps.values())), max_body_bytes=max_bytes)
