"""One annotation of a PodAutoscaler, read as Go reads it: what stands there, or nothing and why.

Knative's webhook refuses most mistakes. What got past it (no webhook, or an older one) is treated as Knative treats it:
text that it cannot read is as good as absent, a number outside the webhook's rule is used. Here it is used only where
something can come of it.
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
_MOST_DIGITS: Final = 400  # longer texts are nobody's number, and Python refuses to read integers of thousands
_MOST_SHOWN: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation(Generic[Value]):
    """What an annotation may say."""

    keys: tuple[str, ...]
    """Its spellings; the first that is there counts."""
    parse: Callable[[str], Value | None]
    rule: str
    """What Knative's webhook asks of it, for people."""
    obeys: Callable[[Value], bool]
    is_usable: Callable[[Value], bool]
    """True for all that obeys, and for what works nonetheless."""

    def read(self, annotations: Mapping[str, str], complaints: list[str]) -> Value | None:
        """Its value, None where it is absent or cannot be used. What is wrong with it is added to the complaints."""
        key = next((key for key in self.keys if key in annotations), None)
        if key is None:
            return None
        text = annotations[key]
        value = self.parse(text)
        if value is None or not self.is_usable(value):
            complaints.append(f"{key} = {shown(text)}, {self.rule}; it is ignored")
            return None
        if not self.obeys(value):
            complaints.append(f"{key} = {shown(text)}, {self.rule}; it is used nonetheless, as by Knative")
        return value


def shown(text: str) -> str:
    """The text for a message: on one line, and not too much of it.

    >>> shown("a" * 100)[-6:]
    "aaaa…'"
    """
    return repr(text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…")


def integer(text: str) -> int | None:
    """A whole number of 32 bits, in decimal.

    >>> integer("+3"), integer(" 3"), integer("3.0"), integer("3000000000")
    (3, None, None, None)
    """
    if len(text) > _MOST_DIGITS or not _INTEGER.fullmatch(text):
        return None
    value = int(text)
    return value if value in _INT32 else None


def number(text: str) -> float | None:
    """A finite number. Go would also take infinity and "not a number", with which nothing can be computed.

    >>> number("1e2"), number("0x1p-1"), number("1_000"), number("inf")
    (100.0, 0.5, None, None)
    """
    if len(text) > _MOST_DIGITS:
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
    """A duration in Go's spelling.

    >>> nanoseconds("1m"), nanoseconds("60")
    (60000000000, None)
    """
    return duration_ns(text) if len(text) <= _MOST_DIGITS else None


def is_whole_seconds(value_ns: int) -> bool:
    """Whether no part of a second is left over."""
    return value_ns % NS_PER_S == 0
