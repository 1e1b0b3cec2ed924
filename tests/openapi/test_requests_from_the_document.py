"""Requests made from /openapi.json, right and wrong ones: every answer has a status and a form that stand in it.

`tests/fuzz` does the same for the plain routes of many functions; here it is every route of four kinds of replicas.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation, BaseSchema
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from replica_process import ServeFunction, serving

Operation = APIOperation[Any, Any, Any, Any]
EXAMPLES = 6
MODES = {"right": schemathesis.GenerationMode.POSITIVE, "wrong": schemathesis.GenerationMode.NEGATIVE}
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

ONE = """
    from typing import Annotated
    import dilu
    from msgspec import Meta, Struct

    class Point(Struct):
        x: float
        y: Annotated[float, Meta(ge=0, le=1)] = 0.5
        label: str = ""

    @dilu.function(batch=8, example=Point(x=1.5))
    def locate(points: list[Point]) -> list[list[float]]:
        return [[point.x, point.y] for point in points]
"""
STREAMING = """
    from typing import Annotated
    from collections.abc import Iterator
    import dilu
    from msgspec import Meta

    @dilu.function
    def count(limit: Annotated[int, Meta(ge=0, le=5)]) -> Iterator[int]:
        yield from range(limit)
"""
SEVERAL = """
    import dilu
    from pydantic import BaseModel, Field

    class Form(BaseModel):
        name: str
        size: int = Field(0, ge=0, le=2**40)

    @dilu.function
    def model(form: Form) -> Form:
        return form

    @dilu.function
    async def anything(value: object) -> str:
        return type(value).__name__

    @dilu.function(batch=8)
    def lengths(texts: list[str]) -> list[int | dilu.ItemError]:
        return [len(text) or dilu.ItemError("the text is empty") for text in texts]
"""
OPENAI = """
    from collections.abc import Iterator
    import dilu

    @dilu.function(batch=8, openai="embeddings")
    def embed(texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    @dilu.function(openai="embeddings")
    def other(text: str) -> list[float]:
        return [float(len(text))]

    @dilu.function(openai="chat")
    def chat(request: dilu.ChatRequest) -> Iterator[str]:
        yield "you said: "
        for message in request.messages:
            yield message.content
"""
SOURCES = {"one": ONE, "streaming": STREAMING, "several": SEVERAL, "openai": OPENAI}


@pytest.fixture(scope="module")
def serve_shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServeFunction]:
    with serving(tmp_path_factory.mktemp("described")) as start:
        yield start


@pytest.fixture(scope="module", params=SOURCES)
def document(request: pytest.FixtureRequest, serve_shared: ServeFunction) -> BaseSchema:
    """What a replica says of itself."""
    replica = serve_shared(SOURCES[request.param])
    return schemathesis.openapi.from_url(f"http://127.0.0.1:{replica.port}/openapi.json")


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session


def test_pages_are_answered_as_described(document: BaseSchema, session: requests.Session) -> None:
    for operation in operations_of(document, "GET"):
        operation.Case().call_and_validate(session=session, checks=CHECKS)


@pytest.mark.parametrize("mode", MODES)
def test_calls_are_answered_as_described(document: BaseSchema, session: requests.Session, mode: str) -> None:
    for operation in operations_of(document, "POST"):
        if "/versions/" not in operation.path:  # the same as without
            check(operation, session, MODES[mode])


def operations_of(document: BaseSchema, method: str) -> list[Operation]:
    return [document[path][one] for path in document for one in document[path] if one.upper() == method]


def has_integral_float(value: Any) -> bool:
    """JSON Schema calls 5.0 an integer; a function that declares `int` must not get one, so it is refused."""
    if isinstance(value, dict):
        return any(map(has_integral_float, value.values()))
    if isinstance(value, list):
        return any(map(has_integral_float, value))
    return isinstance(value, float) and value.is_integer()


def check(operation: Operation, session: requests.Session, mode: schemathesis.GenerationMode) -> None:
    """Send what the operation takes, or does not take."""
    cases = operation.as_strategy(generation_mode=mode).filter(lambda case: not has_integral_float(case.body))

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=cases)
    def answers(case: schemathesis.Case[Any]) -> None:
        case.headers.pop("X-Request-Timeout-Ms", None)  # 504 would be the right answer to many of them
        if case.media_type == "application/json":  # a length of its own is for a body with binary data behind it
            case.headers.pop("Inference-Header-Content-Length", None)
        case.call_and_validate(session=session, checks=CHECKS)

    answers()
