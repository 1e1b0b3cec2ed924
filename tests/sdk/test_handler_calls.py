"""What a handler may return for a batch, and how `load` may change the handler."""

from __future__ import annotations

import asyncio
import collections
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import dilu
from dilu.handlers import definition_of
from dilu.runtime.execution.handler_calls import Handler, HandlerContractError


def loaded(target: Any, **options: Any) -> Handler:
    definition = definition_of(dilu.function(**options)(target))
    assert definition is not None
    handler = Handler(definition)
    hook = handler.load()
    if hook is not None:
        asyncio.run(hook)
    return handler


def returning(result: Callable[[list[Any]], Any]) -> Handler:
    return loaded(lambda items: result(items), name="f", batch=4)


class Rows:
    """A sequence of its own kind; `said` is the length that it claims."""

    def __init__(self, rows: list[Any], said: int) -> None:
        self.rows, self.said = rows, said

    def __len__(self) -> int:
        return self.said

    def __getitem__(self, index: int) -> Any:
        return self.rows[index]


class Frame(Rows):
    """As a pandas DataFrame: its length counts rows, iteration gives the names of columns."""

    columns = ("a", "b")
    iloc = None

    def __iter__(self) -> Iterator[str]:
        return iter(self.columns)


class PolarsFrame(Frame):
    iloc = property()  # reading it fails, as if it were not there

    def to_dicts(self) -> list[dict[str, Any]]:
        return []


class LyingArray:
    shape = ()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        return 0


@pytest.mark.parametrize(
    "result",
    [
        list,
        tuple,
        np.array,
        collections.deque,
        lambda items: Rows(items, len(items)),
        lambda items: Rows(items, 99),
        lambda items: range(1, 3),
    ],
    ids=["list", "tuple", "array", "deque", "sequence", "a length that is not true", "range"],
)
def test_whatever_iterates_by_item_is_matched(result: Callable[[list[Any]], Any]) -> None:
    assert returning(result).run([1, 2]) == [1, 2]


def test_the_rows_of_an_array_are_the_results() -> None:
    (first, second) = returning(lambda items: np.arange(6).reshape(2, 3)).run([1, 2])
    assert (first.tolist(), second.tolist()) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (lambda items: dict.fromkeys(items), "returned dict for a batch of 2; it must return one result per item"),
        (lambda items: collections.UserDict(a=1, b=2), "returned UserDict"),
        (set, "returned set"),
        (frozenset, "returned frozenset"),
        (lambda items: "ab", "returned str"),
        (lambda items: b"ab", "returned bytes"),
        (lambda items: bytearray(2), "returned bytearray"),
        (lambda items: (item for item in items), r"returned generator .*: wrap it in list\(...\)"),
        (lambda items: map(str, items), r"returned map .*: wrap it in list\(...\)"),
        (lambda items: Frame(items, 2), r'returned Frame .* gives columns, return its .to_dict\("records"\)'),
        (lambda items: PolarsFrame(items, 2), r"returned PolarsFrame .* gives columns, return its .to_dicts\(\)"),
        (lambda items: np.array(5), "returned 0-d ndarray for a batch of 2"),
        (lambda items: np.float32(5), "returned 0-d float32"),
        (lambda items: LyingArray(), "returned 0-d LyingArray"),
        (lambda items: None, "returned NoneType"),
        (lambda items: 5, "returned int"),
        (lambda items: [1], "returned 1 results for a batch of 2 items"),
        (lambda items: np.arange(3), "returned 3 results for a batch of 2 items"),
    ],
)
def test_what_does_not_iterate_by_item_is_refused(result: Callable[[list[Any]], Any], message: str) -> None:
    with pytest.raises(HandlerContractError, match=message):
        returning(result).run([1, 2])


@pytest.mark.parametrize("batch", [None, 4])
def test_a_coroutine_of_a_handler_that_is_not_async_is_refused(batch: int | None) -> None:
    async def ask(item: Any) -> Any:
        return item

    with pytest.raises(HandlerContractError, match="declare the handler itself with async def"):
        loaded(lambda item: ask(item), name="f", batch=batch).run([1])


class Compiled:
    def load(self) -> None:
        self.predict = lambda item: "compiled"  # type: ignore[method-assign]  # as with torch.compile

    def predict(self, item: int) -> str:
        return "eager"


class CompiledLater:
    async def load(self) -> None:
        await asyncio.sleep(0)
        self.predict = lambda item: "compiled"  # type: ignore[method-assign]  # as with torch.compile

    def predict(self, item: int) -> str:
        return "eager"


@pytest.mark.parametrize("target", [Compiled, CompiledLater])
def test_a_predict_that_load_put_in_place_is_called(target: Any) -> None:
    assert loaded(target).run([1]) == ["compiled"]


def test_static_and_class_methods_are_called_with_the_item_alone() -> None:
    class Static:
        @staticmethod
        def predict(item: int) -> int:
            return item + 1

    class OfClass:
        step = 2

        @classmethod
        def predict(cls, item: int) -> int:
            return item + cls.step

    assert (loaded(Static).run([1]), loaded(OfClass).run([1])) == ([2], [3])


def test_a_load_that_spoils_predict_or_gives_a_generator_fails() -> None:
    class Spoiled:
        def load(self) -> None:
            vars(self)["predict"] = None

        def predict(self, item: int) -> int:
            return item

    class Hidden:
        def load(self) -> Any:
            return (step for step in range(3))

        def predict(self, item: int) -> int:
            return item

    with pytest.raises(HandlerContractError, match="load left predict = None"):
        loaded(Spoiled)
    with pytest.raises(HandlerContractError, match="load is a generator"):
        loaded(Hidden)
