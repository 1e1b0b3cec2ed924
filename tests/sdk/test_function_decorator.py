"""What `@dilu.function` accepts, keeps and refuses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

import dilu
from dilu.handlers import default_name, definition_of


def define(target: Any, **options: Any) -> dilu.FunctionDefinition:
    definition = definition_of(dilu.function(**options)(target))
    assert definition is not None
    return definition


def test_a_class_stays_a_class_that_people_can_call() -> None:
    @dilu.function(slo_ms=60, batch=16, sm_request=300, sm_limit=600, gpu_memory="2Gi")
    class Embed:
        def predict(self, texts: list[str]) -> list[int]:
            return [len(text) for text in texts]

    assert Embed().predict(["ab"]) == [2]
    definition = definition_of(Embed)
    assert definition is not None
    assert definition.spec.name == "embed"
    assert definition.spec.slo_ms == 60
    assert (definition.spec.batch, definition.spec.sm_request, definition.spec.gpu_memory_mib) == (16, 300, 2048)
    assert definition.item_type is str
    assert definition.is_batched
    assert not definition.is_async
    assert definition.max_in_flight == 32


def test_a_plain_function_needs_no_parentheses() -> None:
    @dilu.function
    def double(x: float) -> float:
        return 2 * x

    definition = definition_of(double)
    assert double(2) == 4
    assert definition is not None
    assert not definition.is_batched
    assert definition.item_type is float
    assert definition.options.concurrency == 1


def test_async_handlers_run_many_at_once_by_default() -> None:
    async def ask(x: str) -> str:
        return x

    assert define(ask).is_async
    assert define(ask).options.concurrency == 64


def test_a_subclass_is_not_decorated_by_its_base() -> None:
    @dilu.function
    class Base:
        def predict(self, item: Any) -> Any:
            return item

    class Derived(Base):
        pass

    assert definition_of(Base) is not None
    assert definition_of(Derived) is None


def test_any_list_like_annotation_states_the_item_type() -> None:
    def handler(items: Sequence[int]) -> list[int]:
        return list(items)

    def bare(items):  # type: ignore[no-untyped-def]  # people write this
        return items

    assert define(handler, batch=4).item_type is int
    assert define(bare, batch=4).item_type is Any


def no_argument() -> int:
    return 1


def two_arguments(a: int, b: int) -> int:
    return a + b


def generator(x: int) -> Any:
    yield x


def takes_text(text: str) -> str:
    return text


class NoPredict:
    pass


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (no_argument, {}, "must take one argument"),
        (two_arguments, {}, "must take one argument"),
        (generator, {}, "is a generator"),
        (NoPredict, {}, r"class NoPredict needs a method predict"),
        (takes_text, {"batch": 4}, r"with batch the handler gets a list.*str"),
        (takes_text, {"concurrency": 0}, "concurrency = 0, must be a whole number of at least 1"),
        (takes_text, {"queue_size": 1.5}, "queue_size = 1.5"),
        (takes_text, {"queue_size": True}, "queue_size = True"),
        (takes_text, {"max_wait_ms": float("nan")}, "max_wait_ms = nan"),
        (takes_text, {"max_wait_ms": -1}, "max_wait_ms = -1"),
        (takes_text, {"slo_ms": 0}, "slo"),
        (takes_text, {"sm_request": 600, "sm_limit": 300}, "limit"),
        (takes_text, {"slo": 3}, "slo"),
        (takes_text, {"batchsize": 4}, "batch"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_what_cannot_work_is_refused_when_it_is_decorated(
    target: Callable[..., Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(dilu.ConfigError, match=message):
        dilu.function(**options)(target)


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("Embed", "embed"),
        ("TextEmbed", "text-embed"),
        ("LLM", "llm"),
        ("double_it", "double-it"),
        ("_private", "private"),
    ],
)
def test_names_follow_from_identifiers(identifier: str, name: str) -> None:
    assert default_name(identifier) == name
