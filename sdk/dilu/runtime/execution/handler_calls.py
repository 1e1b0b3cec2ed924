"""Calls of the user's handler, whose outcome is one result per item or one error."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Set
from typing import Any

from dilu.context import Context
from dilu.errors import DiluError
from dilu.handlers import FunctionDefinition

# Types whose iteration does not go item by item.
_NOT_BY_ITEM = (Mapping, Set, str, bytes, bytearray)
# Tables iterate by column. An attribute that identifies each library (pandas, polars, pyarrow), and what returns rows.
_TABLE_ROWS = {"iloc": '.to_dict("records")', "to_dicts": ".to_dicts()", "to_pylist": ".to_pylist()"}

# Gets one part for each item of the batch; returns False once no client listens.
Deliver = Callable[[list[Any]], bool]
DeliverAsync = Callable[[list[Any]], Awaitable[bool]]


class HandlerContractError(DiluError):
    """The handler returned something that cannot be matched to its items."""


class Handler:
    """The user's class or function, loaded once; methods run on the handler's own thread or loop."""

    def __init__(self, definition: FunctionDefinition) -> None:
        self.definition = definition
        self._call: Any = None if definition.is_class else definition.target
        self._instance: Any = None

    def load(self) -> Coroutine[Any, Any, None] | None:
        """Create the instance and load the model. The caller awaits the coroutine that an async `load` returns."""
        if not self.definition.is_class:
            return None
        self._instance = self.definition.target()
        hook = _hook(self._instance, "load")
        if hook is not None:
            return self._finish_load(hook)
        self._bind()
        return None

    async def _finish_load(self, hook: Coroutine[Any, Any, None]) -> None:
        await hook
        self._bind()

    def _bind(self) -> None:
        """Take the method as `load` left it: it may have replaced it by a compiled one."""
        self._call = getattr(self._instance, "predict", None)
        if not callable(self._call):
            raise HandlerContractError(f"load left predict = {self._call!r}, which cannot be called")

    def unload(self) -> Coroutine[Any, Any, None] | None:
        """Release the model. The caller awaits the coroutine that an async `unload` returns."""
        return _hook(self._instance, "unload")

    def warm_up_batches(self) -> list[list[Any]]:
        """Return the batches to run before the replica is ready: one item and a full batch, twice each."""
        if not self.definition.options.has_example:
            return []
        example = self.definition.options.example
        sizes = sorted({1, self.definition.max_batch})
        return [[example] * size for size in sizes for _ in range(2)]

    def warm_up_contexts(self, size: int) -> list[Context] | None:
        """Return the contexts of warm-up items, or None if the handler takes none."""
        if not self.definition.takes_context:
            return None
        return [Context(request_id="warm-up") for _ in range(size)]

    def run(self, items: list[Any], contexts: list[Context] | None = None) -> list[Any]:
        """Return one result (or `ItemError`) per item, from a sync handler. Raise what the handler raises."""
        if not self.definition.is_batched:
            return [_returned(self._called(items, contexts))]
        return _matched(_returned(self._called(items, contexts)), len(items))

    async def run_async(self, items: list[Any], contexts: list[Context] | None = None) -> list[Any]:
        """Return one result (or `ItemError`) per item, from an async handler. Raise what the handler raises."""
        if not self.definition.is_batched:
            return [await self._called(items, contexts)]
        return _matched(await self._called(items, contexts), len(items))

    def stream(self, items: list[Any], contexts: list[Context] | None, deliver: Deliver) -> None:
        """Run a sync generator to its end, or until `deliver` returns False."""
        generator = self._called(items, contexts)
        try:
            for value in generator:
                if not deliver(self._parts(value, len(items))):
                    return
        finally:
            generator.close()

    async def stream_async(self, items: list[Any], contexts: list[Context] | None, deliver: DeliverAsync) -> None:
        """Run an async generator to its end, or until `deliver` returns False."""
        generator = self._called(items, contexts)
        try:
            async for value in generator:
                if not await deliver(self._parts(value, len(items))):
                    return
        finally:
            await generator.aclose()

    def _called(self, items: list[Any], contexts: list[Context] | None) -> Any:
        argument = items if self.definition.is_batched else items[0]
        if contexts is None:
            return self._call(argument)
        return self._call(argument, ctx=contexts if self.definition.is_batched else contexts[0])

    def _parts(self, value: Any, expected: int) -> list[Any]:
        """Return one part for each item; in a batch None means that an item has no part this time."""
        return _matched(value, expected) if self.definition.is_batched else [value]


def _hook(instance: Any, name: str) -> Coroutine[Any, Any, None] | None:
    hook = getattr(instance, name, None)
    result = hook() if callable(hook) else None
    if inspect.isgenerator(result) or inspect.isasyncgen(result):
        raise HandlerContractError(f"{name} is a generator, so nothing of it ran; remove its yield")
    return result if inspect.iscoroutine(result) else None


def _returned(result: Any) -> Any:
    """Return the result of a sync handler, unless it is a coroutine."""
    if inspect.iscoroutine(result):
        result.close()
        raise HandlerContractError("the handler returned a coroutine; declare the handler itself with async def")
    return result


def _matched(results: Any, expected: int) -> list[Any]:
    """Return the results as a list; they may be any sequence by item (list, tuple, array, tensor)."""
    if isinstance(results, Iterator):
        raise _mismatch(results, expected, "wrap it in list(...)")
    rows = _rows_of_table(results)
    if rows is not None:
        raise _mismatch(results, expected, f"iterating over it gives columns, return its {rows}")
    is_sequence = hasattr(results, "__len__") and hasattr(results, "__getitem__")
    has_length = getattr(results, "shape", None) != ()  # an array or a tensor of no dimension has no length
    if not is_sequence or not has_length or isinstance(results, _NOT_BY_ITEM):
        raise _mismatch(results, expected, "a list, a tuple, an array or a tensor")
    # Counted after the conversion, because the object's own length may be wrong.
    listed = list(results)
    if len(listed) != expected:
        raise HandlerContractError(f"predict returned {len(listed)} results for a batch of {expected} items")
    return listed


def _rows_of_table(results: Any) -> str | None:
    if not hasattr(results, "columns"):
        return None
    return next((rows for attribute, rows in _TABLE_ROWS.items() if hasattr(results, attribute)), None)


def _mismatch(results: Any, expected: int, way_out: str) -> HandlerContractError:
    scalar = "0-d " if getattr(results, "shape", None) == () else ""
    return HandlerContractError(
        f"predict returned {scalar}{type(results).__name__} for a batch of {expected}; "
        f"it must return one result per item: {way_out}"
    )


def finish(hook: Coroutine[Any, Any, None] | None) -> None:
    """Run an async hook of a sync handler to its end."""
    if hook is not None:
        asyncio.run(hook)
