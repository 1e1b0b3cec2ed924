"""What a replica says of its routes and types in /openapi.json."""

from __future__ import annotations

import enum
import json
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dilu
from dilu.handlers import FunctionDefinition, definition_of
from dilu.runtime.openapi.document import openapi_document
from dilu.runtime.openapi.schema_components import COMPONENT, SchemaComponents


class Point(msgspec.Struct):
    """A place in the plane."""

    x: float
    y: float = 0.0
    label: Annotated[str, msgspec.Meta(max_length=8)] | None = None


class Inner(pydantic.BaseModel):
    text: str


class Review(pydantic.BaseModel):
    stars: int = pydantic.Field(ge=1, le=5)
    inner: Inner
    when: typing.Any = object()


class Tree(pydantic.BaseModel):
    value: int
    children: list[Tree] = []


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


@dataclass
class Nested:
    reviews: list[Review]
    level: Level
    by_name: dict[str, Point]


class Foreign:
    """Nothing that JSON knows."""


def definition(target: Any) -> FunctionDefinition:
    found = definition_of(target)
    assert found is not None
    return found


def document(*targets: Any, **options: Any) -> dict[str, Any]:
    return openapi_document([definition(target) for target in targets], title="shop", version="1", **options)


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def check_references(openapi: dict[str, Any]) -> None:
    for reference in references(openapi):
        found: Any = openapi
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
        assert isinstance(found, dict)


@dilu.function(slo_ms=50, batch=8, example={"x": 1.0})
class Locate:
    """Says where a point is."""

    def predict(self, points: list[Point]) -> list[str]:
        """One name for each point."""
        return [str(point.x) for point in points]


@dilu.function
def double(x: float) -> float | dilu.ItemError:
    return 2 * x


@dilu.function
def count(limit: int) -> Iterator[Point]:
    yield Point(x=limit)


@dilu.function
async def count_later(limit: int) -> AsyncIterator[int]:
    yield limit


@dilu.function(batch=4)
def count_many(limits: list[int]) -> Iterator[list[int | None]]:
    yield [None] * len(limits)


def request_schema(openapi: dict[str, Any], path: str = "/") -> Any:
    return openapi["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def result_content(openapi: dict[str, Any], path: str = "/") -> Any:
    return openapi["paths"][path]["post"]["responses"]["200"]["content"]


def test_one_function_is_on_the_root_and_one_of_its_items_is_the_body() -> None:
    openapi = document(Locate)
    assert openapi["openapi"] == "3.1.0"
    assert openapi["info"] == {"title": "shop", "version": "1"}
    assert request_schema(openapi) == {"$ref": COMPONENT + "Point"}
    assert result_content(openapi) == {"application/json": {"schema": {"type": "string"}}}
    assert openapi["components"]["schemas"]["Point"]["required"] == ["x"]
    check_references(openapi)


def test_several_functions_are_on_their_names() -> None:
    openapi = document(Locate, double)
    posts = [path for path, item in openapi["paths"].items() if "post" in item]
    assert posts == ["/locate", "/double"]
    assert [tag["name"] for tag in openapi["tags"]] == ["locate", "double"]


def test_the_description_is_the_text_of_the_class_and_of_its_method() -> None:
    assert document(Locate)["tags"][0]["description"] == "Says where a point is.\n\nOne name for each point."


def test_the_spec_of_the_function_is_beside_its_name() -> None:
    spec = document(Locate)["tags"][0]["x-dilu"]
    assert (spec["slo_ms"], spec["batch"]) == (50, 8)


def test_the_example_is_shown_as_the_json_that_it_would_be() -> None:
    @dilu.function(example=np.arange(3))
    def total(values: Any) -> float:
        return float(sum(values))

    content = document(total)["paths"]["/"]["post"]["requestBody"]["content"]["application/json"]
    assert content == {"schema": {}, "example": [0, 1, 2]}


@pytest.mark.parametrize("example", [Foreign(), "x" * 100_000], ids=["no JSON", "too long"])
def test_an_example_that_cannot_be_shown_is_left_out(example: Any) -> None:
    @dilu.function(example=example)
    def take(value: Any) -> None: ...

    assert document(take)["paths"]["/"]["post"]["requestBody"]["content"]["application/json"] == {"schema": {}}


@pytest.mark.parametrize(
    ("target", "schema"),
    [
        (count, {"$ref": COMPONENT + "Point"}),
        (count_later, {"type": "integer"}),
        (count_many, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ],
    ids=["generator", "async generator", "batched generator"],
)
def test_a_generator_streams_events_whose_data_is_one_yielded_value(target: Any, schema: Any) -> None:
    content = result_content(document(target))
    assert list(content) == ["text/event-stream", "application/json"]
    assert content["application/json"]["schema"] == {"type": "array", "items": schema}
    assert content["text/event-stream"]["x-data-schema"] == schema


def test_errors_that_a_handler_returns_are_not_part_of_its_result() -> None:
    assert result_content(document(double)) == {"application/json": {"schema": {"type": "number"}}}


@pytest.mark.parametrize("status", ["400", "408", "413", "422", "429", "500", "503", "504"])
def test_each_error_is_described_with_its_body(status: str) -> None:
    response = document(double)["paths"]["/"]["post"]["responses"][status]
    assert response["content"]["application/json"]["schema"] == {"$ref": COMPONENT + "Error"}
    assert ("Retry-After" in response["headers"]) == (status in ("429", "503"))


def test_the_headers_that_a_caller_may_send_are_parameters() -> None:
    openapi = document(double)
    named = [
        openapi["components"]["parameters"][one["$ref"].rsplit("/", 1)[1]]["name"]
        for one in openapi["paths"]["/"]["post"]["parameters"]
    ]
    assert named == ["X-Request-Id", "X-Request-Timeout-Ms", "Priority"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/stats"])
def test_probes_are_there(path: str) -> None:
    assert "200" in document(double)["paths"][path]["get"]["responses"]


def test_models_of_pydantic_are_found_inside_lists_and_other_types() -> None:
    @dilu.function
    def judge(item: Nested) -> list[Review]:
        return item.reviews

    openapi = document(judge)
    schemas = openapi["components"]["schemas"]
    assert set(schemas) == {"Error", "Nested", "Review", "Inner", "Level", "Point"}
    assert schemas["Nested"]["properties"]["reviews"]["items"] == {"$ref": COMPONENT + "Review"}
    assert schemas["Review"]["properties"]["stars"]["maximum"] == 5
    check_references(openapi)
    json.dumps(openapi)


def test_a_model_that_contains_itself_is_one_schema() -> None:
    @dilu.function
    def sum_up(tree: Tree) -> int:
        return tree.value

    openapi = document(sum_up)
    assert request_schema(openapi) == {"$ref": COMPONENT + "Tree"}
    assert set(openapi["components"]["schemas"]) == {"Error", "Tree"}
    check_references(openapi)


def test_types_of_the_same_name_are_told_apart_and_equal_ones_are_shared() -> None:
    components = SchemaComponents()
    plain = pydantic.create_model("Same", value=(int, ...))
    other = pydantic.create_model("Same", text=(str, ...))
    struct = msgspec.defstruct("Same", [("deep", plain), ("list_", list[other])])  # type: ignore[valid-type]  # made here
    names = [components.item_schema(kind)["$ref"] for kind in (plain, other, struct, plain, other, struct)]
    assert names == [COMPONENT + name for name in ("Same", "Same2", "Same3", "Same", "Same2", "Same3")]
    assert components.schemas["Same3"]["properties"] == {
        "deep": {"$ref": COMPONENT + "Same"},
        "list_": {"type": "array", "items": {"$ref": COMPONENT + "Same2"}},
    }


def test_types_that_look_alike_but_hold_others_are_told_apart() -> None:
    components = SchemaComponents()
    leaves = [pydantic.create_model("Leaf", **{key: (int, ...)}) for key in ("a", "b")]  # type: ignore[call-overload]  # any name
    branches = [pydantic.create_model("Branch", leaf=(leaf, ...)) for leaf in leaves]
    for branch in branches:
        components.item_schema(branch)
    assert components.schemas["Branch"]["properties"]["leaf"] == {"$ref": COMPONENT + "Leaf"}
    assert components.schemas["Branch2"]["properties"]["leaf"] == {"$ref": COMPONENT + "Leaf2"}


def test_a_model_that_is_read_and_written_differently_has_two_schemas() -> None:
    class Priced(pydantic.BaseModel):
        net: float

        @pydantic.computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
        @property
        def gross(self) -> float:
            return 1.2 * self.net

    components = SchemaComponents()
    assert components.item_schema(Priced) == {"$ref": COMPONENT + "Priced"}
    assert components.result_schema(Priced) == {"$ref": COMPONENT + "PricedResult"}
    assert set(components.schemas["PricedResult"]["properties"]) == {"net", "gross"}


def test_a_type_named_like_the_error_leaves_the_error_alone() -> None:
    @dilu.function
    def fail(error: msgspec.defstruct("Error", [("code", int)])) -> None: ...  # type: ignore[valid-type]  # made here

    openapi = document(fail)
    assert request_schema(openapi) == {"$ref": COMPONENT + "Error2"}
    assert "request_id" in json.dumps(openapi["components"]["schemas"]["Error"])


class Raising:
    """A model whose schema cannot be made."""

    @classmethod
    def model_validate(cls, value: object) -> Raising:
        return cls()

    @classmethod
    def model_json_schema(cls, **options: object) -> dict[str, object]:
        raise RuntimeError("no schema")


ODD_TYPES = [
    *(Foreign, list[Foreign], int | str | Foreign, Review | Point, Callable[[int], int], np.ndarray, complex, type),
    *(typing.TypeVar("T"), typing.NoReturn, "not evaluated", 3, ..., object(), Raising, list[Raising], range),
]


@pytest.mark.parametrize("kind", ODD_TYPES, ids=lambda kind: str(kind).partition(" at 0x")[0])
def test_an_odd_type_is_any_json(kind: Any) -> None:
    components = SchemaComponents()
    schema = components.item_schema(kind)
    assert set(schema) <= {"description"}
    assert components.schemas == {}
    components.result_schema(kind)
    json.dumps(components.schemas)


LEAVES = st.sampled_from([int, str, float, bool, None, Any, Point, Review, Tree, Nested, Level, Literal["a", 1], bytes])
TYPES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        inner.map(lambda kind: list[kind]),  # type: ignore[valid-type]  # a type at run time
        inner.map(lambda kind: dict[str, kind]),  # type: ignore[valid-type]  # the same
        inner.map(lambda kind: typing.Optional[kind]),  # noqa: UP045  # `|` does not take every type
        st.tuples(inner, inner).map(lambda kinds: tuple[kinds]),  # type: ignore[valid-type]  # the same
        st.tuples(inner, inner).map(lambda kinds: typing.Union[kinds]),  # noqa: UP007  # the same
    ),
    max_leaves=6,
)


@given(kinds=st.lists(TYPES, max_size=4))
def test_whatever_the_types_every_reference_leads_to_a_schema(kinds: list[Any]) -> None:
    components = SchemaComponents({"Error": {}})
    made = [components.item_schema(kind) for kind in kinds] + [components.result_schema(kind) for kind in kinds]
    for reference in references([made, components.schemas]):
        assert reference.removeprefix(COMPONENT) in components.schemas


def test_paths_of_other_protocols_are_added_and_shared_paths_are_joined() -> None:
    event = {"application/cloudevents+json": {"schema": {"$ref": COMPONENT + "Event"}}}
    openapi = document(
        double,
        extra_paths={
            "/": {
                "post": {
                    "summary": "theirs",
                    "requestBody": {"content": {**event, "application/json": {"schema": {"type": "string"}}}},
                    "responses": {"200": {"content": event}, "204": {"description": "nothing"}},
                }
            },
            "/v2/models/double/infer": {"post": {"responses": {}}},
        },
        extra_schemas={"Event": {"type": "object"}},
    )
    post = openapi["paths"]["/"]["post"]
    assert post["summary"] == "Call double"
    assert post["requestBody"]["content"]["application/json"] == {"schema": {"type": "number"}}
    assert "application/cloudevents+json" in post["requestBody"]["content"]
    assert set(post["responses"]["200"]["content"]) == {"application/json", "application/cloudevents+json"}
    assert post["responses"]["204"] == {"description": "nothing"}
    assert "/v2/models/double/infer" in openapi["paths"]
    check_references(openapi)


def test_two_documents_of_the_same_functions_are_equal_and_share_nothing() -> None:
    first = document(Locate, double)
    first["paths"]["/healthz"]["get"]["summary"] = first["components"]["schemas"]["Error"]["type"] = "changed"
    second = document(Locate, double)
    assert second["paths"]["/healthz"]["get"]["summary"] != "changed"
    assert second["components"]["schemas"]["Error"]["type"] == "object"
    assert second == document(Locate, double)
