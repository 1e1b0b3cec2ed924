"""What a replica tells of itself: `/openapi.json`, and `/docs` where people read and try it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from dilu.handlers import FunctionDefinition
from dilu.runtime.calls import Call, Route
from dilu.runtime.codec import encode_result


def description_routes(definitions: Sequence[FunctionDefinition]) -> list[Route]:
    """The routes of the descriptions; each is made when somebody first asks for it."""
    descriptions = _Descriptions(definitions)

    async def answer_document(call: Call) -> None:
        await call.answer(descriptions.document)

    async def answer_page(call: Call) -> None:
        await call.answer(descriptions.page, content_type=b"text/html; charset=utf-8")

    return [
        Route(method="GET", path="/openapi.json", answer=answer_document, counts=False),
        Route(method="GET", path="/docs", answer=answer_page, counts=False),
    ]


class _Descriptions:
    """Made late: they cost imports and time that a cold start has no need of."""

    def __init__(self, definitions: Sequence[FunctionDefinition]) -> None:
        self._definitions = definitions
        self._title = ", ".join(definition.spec.name for definition in definitions)

    @cached_property
    def document(self) -> bytes:
        from dilu.runtime.openapi import document_components, openapi_document
        from dilu.runtime.protocols.openapi_paths import protocol_paths, protocol_schemas
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
        from dilu.runtime.docs_page import docs_page

        return docs_page(self._title)
