"""Reads one annotation of a PodAutoscaler as Go reads it: its value, or None and a validation error.

Knative's webhook refuses most mistakes. One that passed it (no webhook, or an older one) is treated as Knative does:
text that it cannot read counts as absent, a number outside the webhook's rule is used. Here such a number is used only
if it can be computed with.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from dilu.spec.go_durations import NS_PER_S, duration_ns

Value = TypeVar("Value")

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_HEXADECIMAL: Final = re.compile(r"[+-]?0[xX](?:[0-9a-fA-F]+(?:\.[0-9a-fA-F]*)?|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+")
_INT32: Final = range(-(2**31), 2**31)
_MAX_DIGITS: Final = 400  # no valid number is longer, and Python refuses to read integers of thousands of digits
_MAX_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(Generic[Value]):
    """An annotation and its valid values."""

    keys: tuple[str, ...]
    """Its spellings; the first one present counts."""
    parse: Callable[[str], Value | None]
    rule: str
    """The rule of Knative's webhook, for people."""
    obeys: Callable[[Value], bool]
    is_usable: Callable[[Value], bool]
    """True for all valid values, and for others that can be computed with."""

    def read(self, annotations: Mapping[str, str], errors: list[str]) -> Value | None:
        """Return its value, or None if it is absent or unusable. A validation error is appended to `errors`."""
        key = next((key for key in self.keys if key in annotations), None)
        if key is None:
            return None
        text = annotations[key]
        value = self.parse(text)
        if value is None or not self.is_usable(value):
            errors.append(f"{key} = {shown(text)}, {self.rule}; it is ignored")
            return None
        if not self.obeys(value):
            errors.append(f"{key} = {shown(text)}, {self.rule}; it is used all the same, as by Knative")
        return value


def shown(text: str) -> str:
    """Quote a text for a message, on one line and shortened.

    >>> shown("a" * 100)[-6:]
    "aaaa…'"
    """
    return repr(text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…")


def integer(text: str) -> int | None:
    """Read a decimal whole number of 32 bits.

    >>> integer("+3"), integer(" 3"), integer("3.0"), integer("3000000000")
    (3, None, None, None)
    """
    if len(text) > _MAX_DIGITS or not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if value in _INT32 else None


def number(text: str) -> float | None:
    """Read a finite number. Go also accepts infinity and NaN, which cannot be computed with.

    >>> number("1e2"), number("0x1p-1"), number("1_000"), number("inf")
    (100.0, 0.5, None, None)
    """
    if len(text) > _MAX_DIGITS:
        return None
    try:
        if _DECIMAL.fullmatch(text):
            value = float(text)
        elif _HEXADECIMAL.fullmatch(text):
            value = float.fromhex(text)
        else:
            return None
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def nanoseconds(text: str) -> int | None:
    """Read a duration in Go's spelling.

    >>> nanoseconds("1m"), nanoseconds("60")
    (60000000000, None)
    """
    return duration_ns(text) if len(text) <= _MAX_DIGITS else None


def is_whole_seconds(value_ns: int) -> bool:
    """Return whether a duration is whole seconds."""
    return value_ns % NS_PER_S == 0
