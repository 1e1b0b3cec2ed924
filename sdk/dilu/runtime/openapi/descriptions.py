"""The routes that describe a replica: `/openapi.json` for programs, `/docs` for people.

The page is one HTML file that loads nothing from elsewhere.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from dilu.handlers import FunctionDefinition
from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CallRoute
from dilu.runtime.codec import encode_result

_TEMPLATE = Path(__file__).with_name("docs_page.html")
_TITLE = "{{title}}"


def description_routes(definitions: Sequence[FunctionDefinition]) -> list[CallRoute]:
    """Return the routes of both descriptions. Each is made at its first request."""
    descriptions = _Descriptions(definitions)

    async def answer_document(call: Call) -> None:
        await call.answer(descriptions.document)

    async def answer_page(call: Call) -> None:
        await call.answer(descriptions.page, content_type=b"text/html; charset=utf-8")

    return [
        CallRoute(method="GET", path="/openapi.json", answer=answer_document, counts=False),
        CallRoute(method="GET", path="/docs", answer=answer_page, counts=False),
    ]


def docs_page(title: str) -> bytes:
    """Return the page. It reads `./openapi.json` beside it and can send requests to the routes in it."""
    return _TEMPLATE.read_text(encoding="utf-8").replace(_TITLE, html.escape(title)).encode("utf-8", "replace")


class _Descriptions:
    """Both descriptions, made when they are first requested: a cold start does not wait for their imports."""

    def __init__(self, definitions: Sequence[FunctionDefinition]) -> None:
        self._definitions = definitions
        self._title = ", ".join(definition.spec.name for definition in definitions)

    @cached_property
    def document(self) -> bytes:
        from dilu.runtime.openapi.document import document_components, openapi_document
        from dilu.runtime.openapi.protocol_paths import protocol_paths, protocol_schemas
        from dilu.version import sdk_version

        components = document_components(protocol_schemas(self._definitions))
        document = openapi_document(
            self._definitions,
            title=self._title,
            version=sdk_version(),
            extra_paths=protocol_paths(self._definitions, components),
            components=components,
        )
        return encode_result(document)

    @cached_property
    def page(self) -> bytes:
        return docs_page(self._title)
