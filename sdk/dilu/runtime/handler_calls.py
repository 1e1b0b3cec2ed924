"""Calls the user's handler and turns whatever it does into results or one error."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any

from dilu.errors import DiluError
from dilu.handlers import FunctionDefinition


class HandlerContractError(DiluError):
    """The handler returned something that cannot be matched to its items."""


class Handler:
    """The user's class or function, loaded once; methods run on the handler's own thread or loop."""

    def __init__(self, definition: FunctionDefinition) -> None:
        self.definition = definition
        self._call: Any = None if definition.is_class else definition.target
        self._instance: Any = None

    def load(self) -> Coroutine[Any, Any, None] | None:
        """Make the instance and load the model. The caller awaits what an async `load` returns."""
        if not self.definition.is_class:
            return None
        self._instance = self.definition.target()
        self._call = self._instance.predict
        return _hook(self._instance, "load")

    def unload(self) -> Coroutine[Any, Any, None] | None:
        """Give the model back. The caller awaits what an async `unload` returns."""
        return _hook(self._instance, "unload")

    def warm_up_batches(self) -> list[list[Any]]:
        """Batches to run before the replica is ready: one item, then a full batch, each twice to time it warm."""
        if not self.definition.options.has_example:
            return []
        example = self.definition.options.example
        sizes = sorted({1, self.definition.max_batch})
        return [[example] * size for size in sizes for _ in range(2)]

    def run(self, items: list[Any]) -> list[Any]:
        """One result per item, from a sync handler. Raises what the handler raises."""
        if not self.definition.is_batched:
            return [self._call(items[0])]
        return _matched(self._call(items), len(items))

    async def run_async(self, items: list[Any]) -> list[Any]:
        """One result per item, from an async handler. Raises what the handler raises."""
        if not self.definition.is_batched:
            return [await self._call(items[0])]
        return _matched(await self._call(items), len(items))


def _hook(instance: Any, name: str) -> Coroutine[Any, Any, None] | None:
    hook = getattr(instance, name, None)
    result = hook() if callable(hook) else None
    return result if inspect.iscoroutine(result) else None


def _matched(results: Any, expected: int) -> list[Any]:
    """The results as a list; anything with a length and an order will do (list, tuple, array, tensor)."""
    is_sequence = hasattr(results, "__len__") and hasattr(results, "__getitem__")
    if not is_sequence or isinstance(results, (str, bytes, dict)):
        raise HandlerContractError(
            f"predict returned {type(results).__name__} for a batch of {expected}; it must return one result per item"
        )
    if len(results) != expected:
        raise HandlerContractError(f"predict returned {len(results)} results for a batch of {expected} items")
    return list(results)


def finish(hook: Coroutine[Any, Any, None] | None) -> None:
    """Run an async hook of a sync handler to its end."""
    if hook is not None:
        asyncio.run(hook)
