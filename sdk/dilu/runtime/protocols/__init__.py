"""The protocols of a function beside plain JSON: one module for each, on top of pure functions.

A protocol reads a `Call`, decodes its items, runs them, and writes the results in its own form. Its errors are
`RequestError`s, which it writes in its own form, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dilu.errors import RequestError
from dilu.handlers import OPENAI_CHAT, OPENAI_EMBEDDINGS
from dilu.http.answers import error_body as plain_error_body
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.execution.service import FunctionService
from dilu.runtime.protocols import open_inference, openai_common

__all__ = ["error_body_for", "protocol_routes"]

_ERROR_BODIES = {open_inference.PREFIX: open_inference.error_body, openai_common.PREFIX: openai_common.error_body}


def protocol_routes(services: Sequence[FunctionService]) -> list[tuple[FunctionService, CallRoute]]:
    """Return the routes of all protocols for all functions of a replica; CloudEvents use the plain routes.

    OpenAI's routes are below `/v1`. If several functions declare the same route, each has it below `/NAME/v1`.
    """
    first = services[0]
    found = [(first, route) for route in open_inference.server_routes(services) + openai_common.model_routes(services)]
    definitions = [service.definition for service in services]
    for service in services:
        prefix = openai_common.route_prefix(service.definition, definitions)
        routes = open_inference.routes(service) + _openai_routes(service, prefix)
        found += [(service, route) for route in routes]
    return found


def _openai_routes(service: FunctionService, prefix: str) -> list[CallRoute]:
    """Return the routes that the function declares; modules of other routes are not imported."""
    if service.definition.options.openai == OPENAI_EMBEDDINGS:
        from dilu.runtime.protocols import openai_embeddings

        return openai_embeddings.routes(prefix)
    if service.definition.options.openai == OPENAI_CHAT:
        from dilu.runtime.protocols import openai_chat

        return openai_chat.routes(prefix)
    return []


def error_body_for(path: str) -> Callable[[RequestError, str], bytes]:
    """Return how to write an error on an unknown path, so that the clients of its protocol understand it."""
    first = path.split("/", 2)[1] if path.startswith("/") else ""
    return _ERROR_BODIES.get(f"/{first}", plain_error_body)
