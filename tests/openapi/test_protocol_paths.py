"""The protocols' routes in /openapi.json: all that there are and no others, with examples that are answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
import pydantic
import pytest

import dilu
import dilu.testing
from dilu.handlers import FunctionDefinition, definition_of
from dilu.runtime.execution.service import FunctionService
from dilu.runtime.openapi.document import document_components, openapi_document
from dilu.runtime.openapi.protocol_paths import protocol_paths, protocol_schemas
from dilu.runtime.openapi.schema_components import COMPONENT
from dilu.runtime.reporting.metrics import FunctionMetrics
from dilu.runtime.routes.function_routes import route_table

DESCRIPTIONS = {("/openapi.json", "GET"), ("/docs", "GET")}
PROBES = {("/healthz", "GET"), ("/readyz", "GET"), ("/metrics", "GET"), ("/v1/stats", "GET")}
EVENT = "application/cloudevents+json"


class Point(msgspec.Struct):
    x: float
    y: float = 0.0


class Review(pydantic.BaseModel):
    text: str
    stars: Annotated[int, pydantic.Field(ge=1, le=5)]


class Pair(NamedTuple):
    left: int
    right: str


class CloudEvent(msgspec.Struct):
    """Named like what the document could have of its own."""

    id: str


@dilu.function(example=Point(x=1.5))
def locate(point: Point) -> list[float]:
    return [point.x, point.y]


@dilu.function
def double(x: int) -> int:
    return 2 * x


@dilu.function(batch=4)
def judge(reviews: list[Review]) -> list[float]:
    return [float(review.stars) for review in reviews]


@dilu.function
def swap(pair: Pair) -> list[str]:
    return [pair.right, str(pair.left)]


@dilu.function
def total(values: np.ndarray) -> float:
    return float(values.sum())


@dilu.function(example=[[1, 2], [3, 4]])
def trace(values: object) -> object:
    return None if values is None else np.asarray(values).trace()


@dilu.function
def note(text: str | None) -> bool:
    return text is None


@dilu.function(example=[0.5, 1.5, 2.5])
def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@dilu.function
def count(limit: int) -> Iterator[int]:
    yield from range(limit)


@dilu.function
def handle(event: CloudEvent) -> CloudEvent:
    return event


@dilu.function(openai="embeddings")
def embed(text: str) -> list[float]:
    return [float(len(text))]


@dilu.function(openai="embeddings", name="other")
def other_embed(text: str) -> list[float]:
    return [0.0, float(len(text))]


@dilu.function(openai="chat")
def chat(request: dilu.ChatRequest) -> Iterator[str]:
    yield request.messages[-1].content


REPLICAS: dict[str, list[Any]] = {
    "one": [locate],
    "one that streams": [count],
    "one embedding": [embed],
    "one chat": [chat],
    "several": [locate, double, judge, swap, total, trace, mean, note, count, handle, embed, chat],
    "several of the same kind": [embed, chat, other_embed],
}
replicas = pytest.mark.parametrize("targets", REPLICAS.values(), ids=REPLICAS)


def definitions_of(targets: list[Any]) -> list[FunctionDefinition]:
    found = [definition_of(target) for target in targets]
    return [definition for definition in found if definition is not None]


def document(*targets: Any) -> dict[str, Any]:
    """The document as the replica makes it."""
    definitions = definitions_of(list(targets))
    components = document_components(protocol_schemas(definitions))
    paths = protocol_paths(definitions, components)
    return openapi_document(definitions, title="shop", version="1", extra_paths=paths, components=components)


def operations(openapi: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(path, method.upper()): one for path, item in openapi["paths"].items() for method, one in item.items()}


def routes(targets: list[Any]) -> set[tuple[str, str]]:
    """What a replica of these functions answers."""

    async def table() -> set[tuple[str, str]]:
        definitions = definitions_of(targets)
        services = [FunctionService(one, FunctionMetrics(one.spec.name, slo_s=None)) for one in definitions]
        return {(path, method) for path, methods in route_table(services).items() for method in methods}

    return asyncio.run(table())


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@replicas
def test_every_route_of_a_replica_is_described_and_no_other(targets: list[Any]) -> None:
    assert set(operations(document(*targets))) | DESCRIPTIONS == routes(targets) | PROBES


@replicas
def test_references_lead_somewhere_and_operations_have_names_of_their_own(targets: list[Any]) -> None:
    openapi = document(*targets)
    for reference in references(openapi):
        found: Any = openapi
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
        assert isinstance(found, dict)
    names = [one["operationId"] for one in operations(openapi).values()]
    assert len(set(names)) == len(names)


def has_example(definition: FunctionDefinition, path: str, kind: str) -> bool:
    """Whether the document of this function must show an example of such a request."""
    if path.startswith("/v2/"):
        return kind == "application/json" and definition.target is not chat  # a conversation is no tensor
    return "/v1/" in path or definition.options.has_example


@replicas
def test_the_example_of_every_request_is_answered_as_described(targets: list[Any]) -> None:
    definitions = {one.spec.name: one for one in definitions_of(targets)}
    with dilu.testing.client(targets) as client:
        openapi = json.loads(client.get("/openapi.json").body)
        for (path, method), operation in operations(openapi).items():
            for kind, content in operation.get("requestBody", {"content": {}})["content"].items():
                name = operation["operationId"].removeprefix("v1.").removeprefix("v2.").partition(".")[0]
                assert ("example" in content) == has_example(definitions[name], path, kind), (path, kind)
                if "example" not in content:
                    continue
                body = json.dumps(content["example"]).encode()
                answer = client.request(method, path, body, headers={"content-type": kind})
                assert answer.status == 200, (path, kind, answer.body)
                assert answer.headers["content-type"] in operation["responses"]["200"]["content"]


@replicas
def test_every_page_is_answered_as_described(targets: list[Any]) -> None:
    with dilu.testing.client(targets) as client:
        openapi = json.loads(client.get("/openapi.json").body)
        pages = [path for path, method in operations(openapi) if method == "GET"]
        assert {client.get(path).status for path in pages} == {200}


def infer(target: Any) -> Any:
    openapi = document(target)
    definition = definitions_of([target])[0]
    return operations(openapi)[(f"/v2/models/{definition.spec.name}/infer", "POST")]


@pytest.mark.parametrize(
    ("target", "inputs"),
    [
        (
            locate,
            [
                {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]},
                {"name": "y", "shape": [1], "datatype": "FP64", "data": [0.0]},
            ],
        ),
        (double, [{"name": "input", "shape": [1], "datatype": "INT64", "data": [1]}]),
        (
            judge,
            [
                {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["text"]},
                {"name": "stars", "shape": [1], "datatype": "INT64", "data": [1]},
            ],
        ),
        (mean, [{"name": "input", "shape": [1, 3], "datatype": "FP64", "data": [0.5, 1.5, 2.5]}]),
        (trace, [{"name": "input", "shape": [1, 2, 2], "datatype": "INT64", "data": [1, 2, 3, 4]}]),
        (total, [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]),
    ],
    ids=["fields", "number", "pydantic", "list", "any", "array"],
)
def test_an_inference_shows_one_row_of_the_functions_tensors(target: Any, inputs: list[Any]) -> None:
    assert infer(target)["requestBody"]["content"]["application/json"]["example"] == {"inputs": inputs}


@pytest.mark.parametrize(
    "example", [[], {}, [1, "a"], {"deep": {"a": 1}}], ids=["empty", "no fields", "mixed", "nested"]
)
def test_an_example_that_is_no_tensor_is_not_shown(example: Any) -> None:
    @dilu.function(example=example)
    def take(value: object) -> None: ...

    assert "example" not in infer(take)["requestBody"]["content"]["application/json"]


def test_an_inference_names_the_functions_inputs_and_outputs() -> None:
    request = document(locate)["components"]["schemas"]["locate.InferenceRequest"]["properties"]
    inputs = request["inputs"]["items"]["anyOf"]
    assert [one["properties"]["name"]["const"] for one in inputs] == ["x", "y"]
    assert (request["inputs"]["minItems"], request["inputs"]["maxItems"]) == (1, 2)
    assert request["outputs"]["items"]["properties"]["name"] == {"enum": ["output"]}


def test_a_plain_route_takes_events_around_its_item_and_gives_them_around_its_result() -> None:
    post = operations(document(locate))[("/", "POST")]
    assert list(post["requestBody"]["content"]) == ["application/json", EVENT]
    event = post["requestBody"]["content"][EVENT]
    assert event["schema"]["properties"]["data"] == {"$ref": COMPONENT + "Point"}
    assert event["example"]["data"] == {"x": 1.5, "y": 0.0}
    reply = post["responses"]["200"]["content"][EVENT]["schema"]["properties"]
    assert reply["data"] == post["responses"]["200"]["content"]["application/json"]["schema"]
    assert "415" in post["responses"]
    assert "ce-causationid" in post["responses"]["200"]["headers"]
    assert "`ce-id`" in post["description"]


@pytest.mark.parametrize(
    ("target", "needs_data"), [(locate, True), (judge, True), (double, True), (trace, False), (note, False)]
)
def test_an_event_may_come_without_data_where_null_is_an_item(target: Any, needs_data: bool) -> None:
    event = operations(document(target))[("/", "POST")]["requestBody"]["content"][EVENT]["schema"]
    body = {"specversion": "1.0", "id": "1", "source": "/here", "type": "test"}
    with dilu.testing.client(target) as client:
        status = client.request("POST", "/", json.dumps(body).encode(), headers={"content-type": EVENT}).status
    assert (len(event["oneOf"]) == 2) == needs_data
    assert (status == 400) == needs_data


def test_an_event_to_a_function_that_streams_is_answered_with_all_parts() -> None:
    reply = operations(document(count))[("/", "POST")]["responses"]["200"]["content"][EVENT]["schema"]
    assert reply["properties"]["data"] == {"type": "array", "items": {"type": "integer"}}


def test_types_have_the_names_that_they_have_without_the_protocols() -> None:
    class Priced(pydantic.BaseModel):
        net: float

        @pydantic.computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
        @property
        def gross(self) -> float:
            return 1.2 * self.net

    @dilu.function
    def price(item: Priced) -> Priced:
        return item

    plain = openapi_document(definitions_of([price]), title="shop", version="1")
    with_protocols = document(price)["components"]["schemas"]
    assert {name: with_protocols[name] for name in plain["components"]["schemas"]} == plain["components"]["schemas"]


def test_a_type_named_like_one_of_the_protocols_leaves_that_one_alone() -> None:
    @dilu.function(openai="chat")
    def talk(request: dilu.ChatRequest) -> msgspec.defstruct("OpenAIModel", [("size", int)]): ...  # type: ignore[valid-type]  # made here

    openapi = document(talk)
    assert set(openapi["components"]["schemas"]["OpenAIModel"]["properties"]) == {"id", "object", "created", "owned_by"}
    result = operations(openapi)[("/", "POST")]["responses"]["200"]["content"]["application/json"]["schema"]
    assert result["$ref"] != COMPONENT + "OpenAIModel"


def test_openais_schemas_are_there_only_for_functions_that_speak_its_protocol() -> None:
    assert not [name for name in document(locate)["components"]["schemas"] if name.startswith("OpenAI")]
    assert not [path for path in document(locate)["paths"] if path.startswith("/v1/") and path != "/v1/stats"]
    assert "OpenAIError" in document(embed)["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "component"),
    [("/locate", "Error"), ("/v2/models/locate/infer", "InferenceError"), ("/v1/embeddings", "OpenAIError")],
)
def test_each_protocol_describes_its_errors_in_its_own_form(path: str, component: str) -> None:
    responses = operations(document(locate, embed))[(path, "POST")]["responses"]
    for status in ("400", "408", "413", "422", "429", "500", "503", "504"):
        assert responses[status]["content"]["application/json"]["schema"] == {"$ref": COMPONENT + component}
    assert ("404" in responses) == (component == "OpenAIError")
    assert ("415" in responses) == (component != "OpenAIError")
    assert "Retry-After" in responses["429"]["headers"]
