"""The route table of a replica: plain routes, protocols and descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dilu.errors import ConfigError
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.execution.service import FunctionService
from dilu.runtime.openapi.descriptions import description_routes
from dilu.runtime.protocols import protocol_routes
from dilu.runtime.routes.plain_routes import plain_route


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRoute:
    """A route, and the function that it calls or describes."""

    route: CallRoute
    service: FunctionService
    is_plain: bool


RouteTable = dict[str, dict[str, FunctionRoute]]  # by path, then by method


def route_table(services: Sequence[FunctionService]) -> RouteTable:
    """Return all routes of a replica: `POST /` if it serves one function, `POST /NAME` for each of several."""
    table: RouteTable = {}
    for service in services:
        path = "/" if len(services) == 1 else f"/{service.definition.spec.name}"
        _add(table, service, [plain_route(service, path)], is_plain=True)
    for service, route in protocol_routes(services):
        _add(table, service, [route], is_plain=False)
    _add(table, services[0], description_routes([service.definition for service in services]), is_plain=False)
    return table


def _add(table: RouteTable, service: FunctionService, routes: Iterable[CallRoute], *, is_plain: bool) -> None:
    for route in routes:
        methods = table.setdefault(route.path, {})
        if route.method in methods:
            raise ConfigError(
                f"{service.definition.spec.name}: {route.method} {route.path} is another function's route"
            )
        methods[route.method] = FunctionRoute(route=route, service=service, is_plain=is_plain)
