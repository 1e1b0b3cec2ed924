"""The decorator `@dilu.function`, and what it learns about a handler."""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec, SpecOptions, function_spec

if TYPE_CHECKING:
    from flask import Flask

# Where the decorator leaves its definition on the class or function that it decorates.
DEFINITION_ATTRIBUTE = "__dilu_definition__"

_SYNC_CONCURRENCY = 1  # one model, one batch at a time: what a GPU does best
_ASYNC_CONCURRENCY = 64  # async handlers wait on others, so many may run at once
_LEAST_QUEUE_SIZE = 64
_QUEUE_BATCHES = 16
_MAX_BODY_BYTES = 16 * 1024 * 1024

_NO_EXAMPLE = object()
_Target = TypeVar("_Target", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How one replica runs its handler; this stays in the process and is not on the wire."""

    concurrency: int  # batches (or single calls) that may run at the same time
    queue_size: int  # requests that may wait; more are refused with 429
    max_body_bytes: int = _MAX_BODY_BYTES
    max_wait_ms: float | None = None  # longest wait for a fuller batch; None: learned
    example: Any = None  # one item to warm up with before the replica is ready
    has_example: bool = False
    app: Flask | None = None  # the Flask application that answers every other route


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDefinition:
    """A decorated handler: its spec, its options and its shape."""

    spec: FunctionSpec
    options: RuntimeOptions
    target: Callable[..., Any]  # the class or the plain function
    is_class: bool
    is_async: bool
    item_type: Any  # type of one request's payload; Any accepts everything

    @property
    def is_batched(self) -> bool:
        """Whether the handler takes a list of items."""
        return self.spec.batch is not None

    @property
    def max_batch(self) -> int:
        """The most items that one call of the handler gets."""
        return self.spec.batch or 1

    @property
    def max_in_flight(self) -> int:
        """Requests that keep this replica busy: one batch running and one filling, for each slot."""
        return 2 * self.max_batch * self.options.concurrency


@overload
def function(target: _Target, /) -> _Target: ...


@overload
def function(
    *,
    name: str | None = None,
    concurrency: int | None = None,
    queue_size: int | None = None,
    max_wait_ms: float | None = None,
    max_body_bytes: int = _MAX_BODY_BYTES,
    example: Any = _NO_EXAMPLE,
    app: Flask | None = None,
    **spec: Unpack[SpecOptions],
) -> Callable[[_Target], _Target]: ...


def function(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    concurrency: int | None = None,
    queue_size: int | None = None,
    max_wait_ms: float | None = None,
    max_body_bytes: int = _MAX_BODY_BYTES,
    example: Any = _NO_EXAMPLE,
    app: Flask | None = None,
    **spec: Unpack[SpecOptions],
) -> Any:
    """Make a class or a plain function servable by Dilu.

        @dilu.function(slo_ms=60, batch=16, sm_request=300, sm_limit=600, gpu_memory="2Gi")
        class Embed:
            def load(self) -> None: ...                                     # once, before the replica is ready
            def predict(self, texts: list[str]) -> list[list[float]]: ...   # one batch; one result per item
            def unload(self) -> None: ...                                   # once, after the last request

        @dilu.function
        def double(x: float) -> float:                                      # without batch: one item a call
            return 2 * x

    `batch=N` gives the handler a list of 1..N items and expects one result per item; without it the handler
    gets one item. `concurrency` calls run at once (default 1 for sync handlers, 64 for async ones);
    `queue_size` requests may wait (default 16 batches, at least 64), further ones are refused with 429.
    `max_wait_ms` caps the wait for a fuller batch (default: learned). `example` is one item that warms the
    model up. `app` is a Flask application whose routes are served beside the handler. `spec` are the fields
    of `dilu.spec.FunctionSpec`: `slo_ms`, `batch`, `sm_request`, `sm_limit` (milli-GPU), `gpu_memory`,
    `kind`, `min_scale`, `max_scale` and so on.

    What is decorated stays what it was: `Embed().predict(["a"])` still works.
    Raises `ConfigError` for a value that cannot be used.
    """

    def decorate(decorated: _Target) -> _Target:
        definition = _define(
            decorated,
            name or default_name(decorated.__name__),
            spec,
            concurrency=concurrency,
            queue_size=queue_size,
            max_wait_ms=max_wait_ms,
            max_body_bytes=max_body_bytes,
            example=None if example is _NO_EXAMPLE else example,
            has_example=example is not _NO_EXAMPLE,
            app=app,
        )
        setattr(decorated, DEFINITION_ATTRIBUTE, definition)
        return decorated

    return decorate if target is None else decorate(target)


def definition_of(target: object) -> FunctionDefinition | None:
    """The definition that the decorator left on `target`, or None if it was not decorated itself."""
    # By its real type: proxies such as `flask.request` answer isinstance() by looking for what they stand for.
    if not issubclass(type(target), (type, types.FunctionType)):
        return None
    definition = vars(target).get(DEFINITION_ATTRIBUTE)
    return definition if isinstance(definition, FunctionDefinition) else None


def default_name(identifier: str) -> str:
    """A function's default name: its Python name in lower case with hyphens.

    >>> default_name("TextEmbed"), default_name("double_it")
    ('text-embed', 'double-it')
    """
    words: list[str] = []
    for position, letter in enumerate(identifier):
        starts_word = letter.isupper() and position > 0 and not identifier[position - 1].isupper()
        words.append("-" + letter if starts_word else letter)
    return "".join(words).replace("_", "-").replace("--", "-").strip("-").lower()


def _define(
    target: Callable[..., Any],
    name: str,
    spec_options: SpecOptions,
    *,
    concurrency: int | None,
    queue_size: int | None,
    **options: Any,
) -> FunctionDefinition:
    spec = function_spec(name, **spec_options)
    is_class = inspect.isclass(target)
    call = _handler_call(target, name, is_class)
    is_async = inspect.iscoroutinefunction(call)
    default_concurrency = _ASYNC_CONCURRENCY if is_async else _SYNC_CONCURRENCY
    default_queue_size = max(_LEAST_QUEUE_SIZE, _QUEUE_BATCHES * (spec.batch or 1))
    _check_wait(options["max_wait_ms"])
    return FunctionDefinition(
        spec=spec,
        options=RuntimeOptions(
            concurrency=_positive("concurrency", concurrency, default_concurrency),
            queue_size=_positive("queue_size", queue_size, default_queue_size),
            max_body_bytes=_positive("max_body_bytes", options.pop("max_body_bytes"), 0),
            **options,
        ),
        target=target,
        is_class=is_class,
        is_async=is_async,
        item_type=_item_type(call, is_class, name, batched=spec.batch is not None),
    )


def _positive(key: str, value: Any, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key} = {value!r}, must be a whole number of at least 1")
    return value


def _check_wait(max_wait_ms: Any) -> None:
    if max_wait_ms is None:
        return
    is_number = isinstance(max_wait_ms, (int, float)) and not isinstance(max_wait_ms, bool)
    if not is_number or not 0 <= max_wait_ms < float("inf"):
        raise ConfigError(f"max_wait_ms = {max_wait_ms!r}, must be a number of milliseconds, 0 or more")


def _handler_call(target: Callable[..., Any], name: str, is_class: bool) -> Callable[..., Any]:
    """The callable that gets the items, checked for its shape."""
    call = getattr(target, "predict", None) if is_class else target
    if not callable(call):
        raise ConfigError(f"function {name}: class {target.__name__} needs a method predict(self, items)")
    if inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call):
        raise ConfigError(f"function {name}: the handler is a generator; it must return its result")
    parameters = _item_parameters(call, is_class)
    required = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]
    if not parameters or len(required) > 1:
        raise ConfigError(
            f"function {name}: the handler must take one argument ({'the list of items' if is_class else 'the item'}), "
            f"its signature is {inspect.signature(call)}"
        )
    return call


def _item_parameters(call: Callable[..., Any], is_class: bool) -> list[inspect.Parameter]:
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    parameters = [p for p in inspect.signature(call).parameters.values() if p.kind in positional]
    return parameters[1:] if is_class else parameters


def _item_type(call: Callable[..., Any], is_class: bool, name: str, *, batched: bool) -> Any:
    try:
        hints = typing.get_type_hints(call)
    except (NameError, TypeError, AttributeError):
        return Any  # hints that only a type checker can resolve: accept what comes
    hint = hints.get(_item_parameters(call, is_class)[0].name, Any)
    if not batched or hint is Any:
        return hint
    origin = typing.get_origin(hint) or hint
    if origin in (types.UnionType, typing.Union) or not _takes_a_list(origin):
        raise ConfigError(
            f"function {name}: with batch the handler gets a list of items, but its argument is annotated {hint}; "
            f"annotate list[...] or leave batch out"
        )
    arguments = typing.get_args(hint)
    return arguments[0] if arguments else Any


def _takes_a_list(origin: Any) -> bool:
    return (
        isinstance(origin, type)
        and origin is not str
        and issubclass(list, origin)
        and issubclass(origin, collections.abc.Iterable)
    )
