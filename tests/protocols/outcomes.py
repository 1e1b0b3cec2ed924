"""What came of reading something: a value, or the error that refused it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from dilu.errors import RequestError

_Value = TypeVar("_Value")


def outcome(read: Callable[[], _Value]) -> _Value | RequestError:
    """The value that `read` gives, or the `RequestError` that it raises; other errors pass."""
    try:
        return read()
    except RequestError as error:
        return error
