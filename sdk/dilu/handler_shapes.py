"""The shape of a handler: which call gets the items, whether it is async, and the type of one item."""

from __future__ import annotations

import collections.abc
import functools
import inspect
import operator
import reprlib
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from dilu.errors import ConfigError

_HOOKS = ("load", "unload")
CONTEXT_PARAMETER = "ctx"
_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerShape:
    """How to call a handler, as read from its code."""

    is_class: bool
    is_async: bool
    is_streaming: bool  # a generator: each of its values is a part of the answer
    takes_context: bool  # it has a parameter named `ctx`
    item_type: Any  # type of one request's payload; Any accepts everything
    result_type: Any  # type of one item's result, or of one part of it; Any if not annotated


def check_target(target: Any, *, has_name: bool) -> None:
    """Raise `ConfigError` unless `target` is a class or a function written in Python that has a name."""
    if isinstance(target, str):
        raise ConfigError(f"@dilu.function({target!r}): the name is a keyword, write @dilu.function(name={target!r})")
    if not callable(target) and not isinstance(target, (staticmethod, classmethod)):
        shown = reprlib.repr(target)
        raise ConfigError(f"@dilu.function({shown}): options are keywords, such as name='embed' or batch=16")
    if not issubclass(type(target), (type, types.FunctionType)):
        raise ConfigError(
            f"@dilu.function decorates a class or a def, not {_kind_of(target)}; write a def that calls it"
        )
    if target.__name__ == "<lambda>" and not has_name:
        raise ConfigError("@dilu.function: a lambda has no name; pass name='...', or write a def")


def shape_of(target: Callable[..., Any], name: str, *, batched: bool) -> HandlerShape:
    """Return the shape of a class or a function. Raise `ConfigError` if it cannot be the handler of `name`."""
    is_class = inspect.isclass(target)
    if is_class:
        _check_class(target, name)
    call = target.predict if is_class else target  # type: ignore[attr-defined]  # checked by _check_class
    item, takes_context = _parameters(target, call, name, batched=batched)
    return HandlerShape(
        is_class=is_class,
        is_async=inspect.iscoroutinefunction(call) or inspect.isasyncgenfunction(call),
        is_streaming=_is_generator(call),
        takes_context=takes_context,
        item_type=_item_type(_item_hint(call, item, name), name, batched=batched),
        result_type=result_type(call, batched=batched, streaming=_is_generator(call)),
    )


def _kind_of(target: Any) -> str:
    if isinstance(target, functools.partial):
        return "a functools.partial"
    if isinstance(target, types.BuiltinFunctionType):
        return f"the builtin {target.__name__}"
    if isinstance(target, (staticmethod, classmethod, types.MethodType)):
        return f"a {type(target).__name__}"
    return f"an instance of {type(target).__name__}"


def _is_generator(call: Any) -> bool:
    return inspect.isgeneratorfunction(call) or inspect.isasyncgenfunction(call)


def _check_class(target: Any, name: str) -> None:
    if not callable(getattr(target, "predict", None)):
        raise ConfigError(f"function {name}: class {target.__name__} needs a method predict(self, items)")
    if inspect.isabstract(target):
        missing = ", ".join(sorted(target.__abstractmethods__))
        raise ConfigError(f"function {name}: class {target.__name__} is abstract, it lacks {missing}")
    needed = _needed_to_construct(target)
    if needed:
        raise ConfigError(
            f"function {name}: class {target.__name__} is created without arguments, but needs {', '.join(needed)}; "
            f"add defaults, or read settings in load"
        )
    for hook in _HOOKS:
        if _is_generator(getattr(target, hook, None)):
            raise ConfigError(f"function {name}: {hook} is a generator, so its code would never run; remove its yield")


def _needed_to_construct(target: Any) -> list[str]:
    try:
        parameters = inspect.signature(target).parameters.values()
    except (ValueError, TypeError):
        return []  # written in C: only the call can show
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind not in optional]


def _parameters(target: Any, call: Any, name: str, *, batched: bool) -> tuple[inspect.Parameter, bool]:
    """Return the parameter for the item or the list of items, and whether there is one for the context."""
    try:
        signature = inspect.signature(call)
    except (ValueError, TypeError):
        raise ConfigError(f"function {name}: the handler is not written in Python; write a def that calls it") from None
    parameters = list(signature.parameters.values())
    positional = [one for one in parameters if one.kind in _POSITIONAL]
    has_self = inspect.isclass(target) and _takes_self(target)
    if has_self and positional and positional[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        positional = positional[1:]
    takes_context = any(_is_context(one) and one is not next(iter(positional), None) for one in parameters)
    if takes_context:
        positional = [one for one in positional if not _is_context(one)]
        parameters = [one for one in parameters if not _is_context(one)]
    required = [one for one in positional if one.default is one.empty and one.kind is not one.VAR_POSITIONAL]
    if not positional or len(required) > 1:
        wanted = "the list of items" if batched else "the item"
        beside = " beside self" if has_self else ""
        raise ConfigError(
            f"function {name}: the handler must take one argument{beside} ({wanted}), its signature is {signature}"
        )
    keywords = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    if keywords:
        raise ConfigError(
            f"function {name}: the handler is called with one argument, so {', '.join(keywords)} needs a default; "
            f"its signature is {signature}"
        )
    return positional[0], takes_context


def _is_context(parameter: inspect.Parameter) -> bool:
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return parameter.name == CONTEXT_PARAMETER and parameter.kind in named


def _takes_self(target: Any) -> bool:
    """Return whether `predict` takes self; static and class methods and callable attributes do not."""
    predict = inspect.getattr_static(target, "predict")
    return hasattr(type(predict), "__get__") and not isinstance(predict, (staticmethod, classmethod))


def _item_hint(call: Any, item: inspect.Parameter, name: str) -> Any:
    """Evaluate the item's annotation; return Any, with a warning, if that fails. Ignore other annotations."""
    if item.annotation is item.empty:
        return Any
    try:
        # A quoted annotation is user code: it may raise anything.
        return _evaluated(call, item.annotation)
    except Exception as error:
        _warn_unchecked(name, item, error)
        return Any


def _evaluated(call: Any, annotation: Any) -> Any:
    """Evaluate one annotation of `call` in the scope of its module. Raise whatever the annotation raises."""
    function = inspect.unwrap(getattr(call, "__func__", call))

    def stand_in() -> None: ...

    stand_in.__annotations__ = {"one": annotation}
    if hasattr(function, "__type_params__"):  # since Python 3.12: the T of `def f[T](...)`
        stand_in.__type_params__ = function.__type_params__  # type: ignore[attr-defined]  # 3.11 does not know it
    return typing.get_type_hints(stand_in, getattr(function, "__globals__", {}), include_extras=True)["one"]


def result_type(call: Any, *, batched: bool, streaming: bool) -> Any:
    """Return the type of one item's result, or of one part of a stream; Any without a return annotation."""
    annotation = inspect.signature(call).return_annotation
    if annotation is inspect.Signature.empty:
        return Any
    try:
        hint = _evaluated(call, annotation)
    except Exception:  # results are not checked; the type only describes them
        return Any
    for _ in range(streaming + batched):
        arguments = typing.get_args(hint)
        if not arguments:
            return Any
        hint = arguments[0]
    return _without_errors(hint)


def _without_errors(hint: Any) -> Any:
    """Return X for `X | ItemError`: an error in place of a result is not a result."""
    if typing.get_origin(hint) not in (types.UnionType, typing.Union):
        return hint
    kinds = [one for one in typing.get_args(hint) if not (isinstance(one, type) and issubclass(one, Exception))]
    return functools.reduce(operator.or_, kinds) if kinds else Any


def _warn_unchecked(name: str, item: inspect.Parameter, error: Exception) -> None:
    import logging  # rarely needed, and importing the SDK must be fast

    reason = f"{type(error).__name__}: {error}".partition("\n")[0]
    logging.getLogger(__name__).warning(
        "function %s: the annotation of %s cannot be resolved, so items are not checked (%s)", name, item.name, reason
    )


def _item_type(hint: Any, name: str, *, batched: bool) -> Any:
    if not batched or hint is Any:
        return hint
    bare = hint
    while typing.get_origin(bare) is Annotated:
        bare = bare.__origin__
    origin = typing.get_origin(bare) or bare
    if origin in (types.UnionType, typing.Union) or not _takes_a_list(origin):
        raise ConfigError(
            f"function {name}: with batch the handler gets a list of items, but its argument is annotated {hint}; "
            f"annotate list[...] or remove batch"
        )
    arguments = typing.get_args(bare)
    return arguments[0] if arguments else Any


def _takes_a_list(origin: Any) -> bool:
    return (
        isinstance(origin, type)
        and origin is not str
        and issubclass(list, origin)
        and issubclass(origin, collections.abc.Iterable)
    )
