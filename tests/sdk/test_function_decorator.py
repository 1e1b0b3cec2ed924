"""What `@dilu.function` accepts, keeps and refuses."""

from __future__ import annotations

import abc
import functools
import logging
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec
import pytest
from flask import Flask

import dilu
from dilu.handlers import default_name, definition_of, wrapped_definition_of


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


def test_constraints_of_an_annotation_are_kept() -> None:
    def one(item: Annotated[int, msgspec.Meta(ge=0)]) -> int:
        return item

    def many(items: Annotated[list[Annotated[int, msgspec.Meta(ge=0)]], "a batch"]) -> list[int]:
        return items

    assert define(one).item_type == Annotated[int, msgspec.Meta(ge=0)]
    assert define(many, batch=4).item_type == Annotated[int, msgspec.Meta(ge=0)]


def annotated(**annotations: Any) -> Callable[..., Any]:
    def handler(item):  # type: ignore[no-untyped-def]  # annotated below
        return item

    handler.__annotations__ = annotations
    return handler


def test_only_the_items_annotation_is_looked_at(caplog: pytest.LogCaptureFixture) -> None:
    assert define(annotated(**{"item": "int", "return": "NotDefinedAnywhere"})).item_type is int
    assert caplog.records == []


@pytest.mark.parametrize(
    ("hint", "reason"),
    [
        ("NotDefinedAnywhere", "NameError: name 'NotDefinedAnywhere' is not defined"),
        ("list[", "SyntaxError"),
        ("1/0", "ZeroDivisionError"),
        ("[][1]", "IndexError"),
    ],
)
def test_an_annotation_that_cannot_be_resolved_accepts_anything_and_says_so_once(
    hint: str, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert define(annotated(item=hint), batch=4).item_type is Any
    (record,) = caplog.records
    assert record.getMessage().startswith("function handler: the annotation of item cannot be resolved")
    assert reason in record.getMessage()


class Static:
    @staticmethod
    def predict(item: int) -> int:
        return item


class OfClass:
    @classmethod
    async def predict(cls, item: int) -> int:
        return item


class Spread:
    def predict(self, *items: int) -> int:
        return items[0]


@pytest.mark.parametrize(
    ("target", "item_type", "is_async"), [(Static, int, False), (OfClass, int, True), (Spread, int, False)]
)
def test_predict_may_be_bound_in_any_way(target: Any, item_type: Any, is_async: bool) -> None:
    definition = define(target)
    assert (definition.item_type, definition.is_async) == (item_type, is_async)


@pytest.mark.parametrize(
    ("options", "queue_size", "max_in_flight"),
    [
        ({}, 64, 2),
        ({"batch": 128}, 2048, 256),
        ({"batch": 4, "concurrency": 100}, 400, 800),
        ({"batch": 128, "queue_size": 4}, 4, 132),
        ({"concurrency": 300}, 300, 600),
    ],
    ids=str,
)
def test_a_replica_is_never_sent_more_than_it_takes(
    options: dict[str, Any], queue_size: int, max_in_flight: int
) -> None:
    definition = define(lambda items: items, name="f", **options)
    assert (definition.queue_size, definition.max_in_flight) == (queue_size, max_in_flight)


def test_a_wrapper_above_the_decorator_is_not_what_was_decorated() -> None:
    @dilu.function
    def inner(item: int) -> int:
        return item

    @functools.wraps(inner)
    def outer(item: int) -> int:
        return inner(inner(item))

    for wrapper in (outer, functools.lru_cache(inner)):
        assert definition_of(wrapper) is None
        assert wrapped_definition_of(wrapper) is definition_of(inner)
    assert wrapped_definition_of(inner) is None


def test_a_flask_application_is_accepted() -> None:
    app = Flask("app")
    assert define(takes_text, app=app).options.app is app


def no_argument() -> int:
    return 1


def two_arguments(a: int, b: int) -> int:
    return a + b


def only_by_keyword(item: int, *, scale: int) -> int:
    return item * scale


def takes_text(text: str) -> str:
    return text


class NoPredict:
    pass


class NoSelf:
    def predict(item):  # type: ignore[no-untyped-def]  # noqa: N805  # the mistake that is tested
        return item


class Abstract(abc.ABC):
    @abc.abstractmethod
    def predict(self, item: int) -> int: ...


class NeedsSettings:
    def __init__(self, model: str, size: int = 3) -> None:
        self.model = model

    def predict(self, item: int) -> int:
        return item


class GeneratorLoad:
    def load(self) -> Any:
        yield

    def predict(self, item: int) -> int:
        return item


class AsyncGeneratorUnload:
    def predict(self, item: int) -> int:
        return item

    async def unload(self) -> Any:
        yield


class Callback:
    def __call__(self, item: int) -> int:
        return item


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        (no_argument, {}, r"must take one argument \(the item\)"),
        (two_arguments, {"batch": 4}, r"must take one argument \(the list of items\)"),
        (only_by_keyword, {}, "called with one argument, so scale needs a default"),
        (NoPredict, {}, r"class NoPredict needs a method predict"),
        (NoSelf, {}, r"must take one argument beside self \(the item\), its signature is \(item\)"),
        (Abstract, {}, "class Abstract is abstract, it lacks predict"),
        (NeedsSettings, {}, "class NeedsSettings is created without arguments, but needs model"),
        (GeneratorLoad, {}, "load is a generator"),
        (AsyncGeneratorUnload, {}, "unload is a generator"),
        ("embed", {}, r"the name is a keyword, write @dilu.function\(name='embed'\)"),
        (16, {}, r"@dilu.function\(16\): options are keywords"),
        (functools.partial(takes_text), {}, "not a functools.partial; write a def"),
        (Callback(), {}, "not an instance of Callback"),
        (len, {}, "not the builtin len"),
        (Static().predict.__get__(3), {}, "not a method"),
        (staticmethod(takes_text), {}, "not a staticmethod"),
        (functools.lru_cache(takes_text), {}, "not an instance of _lru_cache_wrapper"),
        (lambda item: item, {}, "a lambda has no name"),
        (takes_text, {"app": "app.py"}, "app = 'app.py', must be a Flask application"),
        (takes_text, {"app": Flask}, "must be a Flask application"),
        (takes_text, {"batch": 4}, r"with batch the handler gets a list.*str"),
        (takes_text, {"openai": "images"}, "openai = 'images', must be one of embeddings, chat"),
        (takes_text, {"openai": "chat"}, 'openai="chat" gives the handler items of type ChatRequest, not str'),
        (takes_text, {"admission": "all"}, "admission = 'all', must be one of slo, queue"),
        (takes_text, {"timeout_s": 0}, "timeout_s = 0, must be a number of seconds above 0"),
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
    ids=lambda value: getattr(value, "__name__", type(value).__name__ + str(value)[:20]),
)
def test_what_cannot_work_is_refused_when_it_is_decorated(target: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(dilu.ConfigError, match=message):
        dilu.function(**options)(target)


def test_a_refused_option_is_said_without_parentheses_too() -> None:
    with pytest.raises(dilu.ConfigError, match="the name is a keyword"):
        dilu.function("embed")  # type: ignore[call-overload]  # the mistake that is tested


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
