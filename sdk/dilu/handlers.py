"""The decorator `@dilu.function`, and the definition that it makes of a handler."""

from __future__ import annotations

import functools
import reprlib
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from dilu.chat import ChatRequest
from dilu.errors import ConfigError
from dilu.handler_shapes import check_target, shape_of
from dilu.spec import FunctionSpec, SpecOptions, function_spec, merge

if TYPE_CHECKING:
    from flask import Flask

# Where the decorator leaves its definition on the class or function that it decorates.
DEFINITION_ATTRIBUTE = "__dilu_definition__"

_SYNC_CONCURRENCY = 1  # one model, one batch at a time: what a GPU does best
_ASYNC_CONCURRENCY = 64  # async handlers mostly wait for other services
_MIN_QUEUE_SIZE = 64
_QUEUE_BATCHES = 16
_MAX_BODY_BYTES = 16 * 1024 * 1024

# `slo` refuses a request that would miss the objective because of those before it, `queue` only when the queue is full.
ADMIT_BY_SLO = "slo"
_ADMISSIONS = (ADMIT_BY_SLO, "queue")
OPENAI_EMBEDDINGS = "embeddings"
OPENAI_CHAT = "chat"
_OPENAI_ROUTES = (OPENAI_EMBEDDINGS, OPENAI_CHAT)

_NO_EXAMPLE = object()
# Types to which another decorator may copy our attribute (functools.wraps, functools.lru_cache). Compared by their real
# type, because proxies such as `flask.request` resolve their target in isinstance().
_CARRIERS = (type, types.FunctionType, type(functools.lru_cache(lambda: None)))
_Target = TypeVar("_Target", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """How one replica runs its handler. These options stay in the process and are not on the wire."""

    concurrency: int  # batches (or single calls) that may run at the same time
    queue_size: int | None = None  # requests that may wait, further ones get 429; None: by the batch size
    max_body_bytes: int = _MAX_BODY_BYTES
    max_wait_ms: float | None = None  # maximum wait for a fuller batch; None: learned
    example: Any = None  # one item to warm up with before the replica is ready
    has_example: bool = False
    app: Flask | None = None  # the Flask application that answers every other route
    timeout_s: float | None = None  # maximum time of a request, waiting included; None: unbounded
    admission: str = ADMIT_BY_SLO  # which requests are refused at once
    openai: str | None = None  # the OpenAI route that the handler serves: embeddings | chat


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionDefinition:
    """A decorated handler: its spec, its options and its shape."""

    spec: FunctionSpec
    options: RuntimeOptions
    target: Callable[..., Any]  # the class or the plain function
    is_class: bool
    is_async: bool
    item_type: Any  # type of one request's payload; Any accepts everything
    is_streaming: bool = False  # a generator: each of its values is a part of the answer
    takes_context: bool = False  # it has a parameter named `ctx`
    result_type: Any = Any  # type of one item's result, or of one part of it; for descriptions only

    @property
    def is_batched(self) -> bool:
        """Whether the handler takes a list of items."""
        return self.spec.batch is not None

    @property
    def max_batch(self) -> int:
        """The maximum number of items in one call of the handler."""
        return self.spec.batch or 1

    @property
    def queue_size(self) -> int:
        """Requests that may wait: as set, else 16 batches, but at least 64 and one for each running item."""
        running = self.max_batch * self.options.concurrency
        return self.options.queue_size or max(_MIN_QUEUE_SIZE, _QUEUE_BATCHES * self.max_batch, running)

    @property
    def max_in_flight(self) -> int:
        """Requests that keep this replica busy without being refused: one batch runs and one fills per slot."""
        running = self.max_batch * self.options.concurrency
        return running + min(running, self.queue_size)


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
    timeout_s: float | None = None,
    admission: str = ADMIT_BY_SLO,
    openai: str | None = None,
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
    timeout_s: float | None = None,
    admission: str = ADMIT_BY_SLO,
    openai: str | None = None,
    **spec: Unpack[SpecOptions],
) -> Any:
    """Make a class or a plain function servable by Dilu.

        @dilu.function(slo_ms=60, batch=16, sm_request=300, sm_limit=600, gpu_memory="2Gi")
        class Embed:
            def load(self) -> None: ...                                     # once, before the replica is ready
            def predict(self, texts: list[str]) -> list[list[float]]: ...   # one batch; one result per item
            def unload(self) -> None: ...                                   # once, after the last request

        @dilu.function
        def double(x: float) -> float:                                      # without batch: one item per call
            return 2 * x

    `batch=N` passes the handler a list of 1 to N items and expects one result per item; without it the handler
    gets one item. `concurrency` calls run at once (default 1 for sync handlers, 64 for async ones). `queue_size`
    requests may wait (default 16 batches, but at least 64 and one for each item that runs at once); further ones
    are refused with 429. `max_wait_ms` caps the learned wait for a fuller batch: it can only shorten it, and 0 turns
    it off. `example` is one item to warm the model up with. `app` is a Flask application whose routes are served
    beside the handler. `timeout_s` bounds the time of a request, waiting included (504). `admission="slo"` refuses
    at once a request that would miss `slo_ms` because of the requests before it; `"queue"` refuses only when the
    queue is full. `openai="embeddings"` or `"chat"` adds OpenAI's route.

    A generator streams: each value that it yields is sent at once. With `batch` it yields lists with one entry for
    each item (None: no part for it this time). A parameter named `ctx` gets the item's `dilu.Context`, with `batch` a
    list of them. For an item that cannot be answered the handler raises a `dilu.ItemError`, or returns it in place of
    the result.

    `spec` are the fields of `dilu.spec.FunctionSpec`: `slo_ms`, `batch`, `sm_request`, `sm_limit` (milli-GPU),
    `gpu_memory`, `kind`, `min_scale`, `max_scale` and so on.

    The decorated class or function stays usable as before: `Embed().predict(["a"])` still works. Raise `ConfigError`
    for an invalid value.
    """

    def decorate(decorated: _Target) -> _Target:
        check_target(decorated, has_name=name is not None)
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
            timeout_s=timeout_s,
            admission=admission,
            openai=openai,
        )
        setattr(decorated, DEFINITION_ATTRIBUTE, definition)
        return decorated

    return decorate if target is None else decorate(target)


def definition_of(target: object) -> FunctionDefinition | None:
    """Return the definition that the decorator left on `target`, or None if `target` itself was not decorated."""
    definition = _carried(target)
    return definition if definition is not None and definition.target is target else None


def wrapped_definition_of(target: object) -> FunctionDefinition | None:
    """Return the definition of the class or function that `target` wraps, if another decorator stands above ours."""
    definition = _carried(target)
    return definition if definition is not None and definition.target is not target else None


def _carried(target: object) -> FunctionDefinition | None:
    if not issubclass(type(target), _CARRIERS):
        return None
    definition = vars(target).get(DEFINITION_ATTRIBUTE)
    return definition if isinstance(definition, FunctionDefinition) else None


def overridden(definition: FunctionDefinition, overrides: Mapping[str, Any] | None) -> FunctionDefinition:
    """Return the definition with the deployment's values in place of the decorator's.

    Raise `ConfigError` for an invalid value, or if a batched handler would become an unbatched one or the reverse.
    """
    if not overrides:
        return definition
    spec = merge(definition.spec, overrides)
    if (spec.batch is None) != (definition.spec.batch is None):
        takes = "a list of items" if definition.is_batched else "one item"
        raise ConfigError(
            f"batch = {spec.batch}: the handler of {spec.name} takes {takes}; only its code can change that"
        )
    return replace(definition, spec=spec)


def default_name(identifier: str) -> str:
    """Return a function's default name: its Python name in lower case with hyphens.

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
    max_body_bytes: int,
    **options: Any,
) -> FunctionDefinition:
    spec = function_spec(name, **spec_options)
    shape = shape_of(target, name, batched=spec.batch is not None)
    default_concurrency = _ASYNC_CONCURRENCY if shape.is_async else _SYNC_CONCURRENCY
    _check_wait(options["max_wait_ms"])
    _check_app(options["app"])
    _check_timeout(options["timeout_s"])
    _check_one_of("admission", options["admission"], _ADMISSIONS)
    if options["openai"] is not None:
        _check_one_of("openai", options["openai"], _OPENAI_ROUTES)
        _check_openai_item(name, options["openai"], shape.item_type)
    return FunctionDefinition(
        spec=spec,
        options=RuntimeOptions(
            concurrency=default_concurrency if concurrency is None else _positive("concurrency", concurrency),
            queue_size=None if queue_size is None else _positive("queue_size", queue_size),
            max_body_bytes=_positive("max_body_bytes", max_body_bytes),
            **options,
        ),
        target=target,
        is_class=shape.is_class,
        is_async=shape.is_async,
        item_type=shape.item_type,
        is_streaming=shape.is_streaming,
        takes_context=shape.takes_context,
        result_type=shape.result_type,
    )


def _positive(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{key} = {value!r}, must be a whole number of at least 1")
    return value


def _check_wait(max_wait_ms: Any) -> None:
    if max_wait_ms is None:
        return
    is_number = isinstance(max_wait_ms, (int, float)) and not isinstance(max_wait_ms, bool)
    if not is_number or not 0 <= max_wait_ms < float("inf"):
        raise ConfigError(f"max_wait_ms = {max_wait_ms!r}, must be a number of milliseconds, 0 or more")


def _check_timeout(timeout_s: Any) -> None:
    is_number = isinstance(timeout_s, (int, float)) and not isinstance(timeout_s, bool)
    if timeout_s is not None and (not is_number or not 0 < timeout_s < float("inf")):
        raise ConfigError(f"timeout_s = {timeout_s!r}, must be a number of seconds above 0")


def _check_one_of(key: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{key} = {value!r}, must be one of {', '.join(allowed)}")


def _check_openai_item(name: str, openai: str, item_type: Any) -> None:
    wanted = ChatRequest if openai == OPENAI_CHAT else str
    if item_type is not Any and item_type is not wanted:
        shown = getattr(item_type, "__name__", item_type)
        raise ConfigError(
            f'function {name}: openai="{openai}" gives the handler items of type {wanted.__name__}, not {shown}'
        )


def _check_app(app: Any) -> None:
    # Recognized by its attributes: Flask is imported only if an application is served.
    is_flask = not isinstance(app, type) and callable(app) and hasattr(app, "wsgi_app") and hasattr(app, "url_map")
    if app is not None and not is_flask:
        raise ConfigError(f"app = {reprlib.repr(app)}, must be a Flask application, Flask(__name__)")
