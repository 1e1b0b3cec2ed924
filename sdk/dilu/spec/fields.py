"""Checks of single values: each returns the value in its type, or raises an error with key, value and rule."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from dilu.errors import ConfigError

INT32_MAX: Final = 2**31 - 1  # the maximum of counts in Kubernetes and Knative
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_LENGTH: Final = 63
_WHOLE = re.compile(r"-?[0-9]{1,30}")
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
_MAX_SHOWN: Final = 80
_NOT_SEEN: Final = object()

_Choice = TypeVar("_Choice", bound=StrEnum)


class FieldError(ConfigError):
    """The value of a key is invalid. Key, rule and value are kept, so that a reader of files can add the line."""

    def __init__(
        self, key: str, rule: str, seen: object = _NOT_SEEN, *, subject: str = "", other_key: str | None = None
    ) -> None:
        value = ": " if seen is _NOT_SEEN else f" = {shown(seen)}, "
        super().__init__(f"{subject}{': ' if subject else ''}{readable(key)}{value}{rule}")
        self.key = key
        self.rule = rule
        self.seen = seen
        self.other_key = other_key  # where two keys contradict each other, the one that is not `key`

    def about(self, subject: str) -> FieldError:
        """Return the same error with `subject` at the start of its message."""
        return FieldError(self.key, self.rule, self.seen, subject=subject, other_key=self.other_key)

    def under(self, path: str) -> FieldError:
        """Return the same error with its keys under `path`."""
        other_key = None if self.other_key is None else path + self.other_key
        return FieldError(path + self.key, self.rule, self.seen, other_key=other_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The position of a group of keys in a file."""

    file: str
    line: int
    key_lines: Mapping[str, int]

    def locate(self, error: FieldError) -> ConfigError:
        """Return the error as `FILE:LINE: key: rule (seen value)`."""
        line = self.key_lines.get(error.key) or self.key_lines.get(error.other_key or "") or self.line
        seen = "" if error.seen is _NOT_SEEN else f" (seen {shown(error.seen)})"
        return ConfigError(f"{self.file}:{line}: {readable(error.key)}: {error.rule}{seen}")

    @contextmanager
    def locating(self, path: str = "") -> Iterator[None]:
        """Add file and line to every `FieldError` of the block, whose keys are under `path`."""
        try:
            yield
        except FieldError as error:
            raise self.locate(error.under(path)) from None


def whole_number(key: str, value: object, *, minimum: int, maximum: int = INT32_MAX, unit: str = "") -> int:
    """Return the value if it is an int within the bounds; booleans are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        of = f" of {unit}" if unit else ""
        raise FieldError(key, f"must be a whole number{of} from {minimum} to {maximum}", value)
    return value


def positive_number(key: str, value: object) -> float:
    """Return the value as a finite float above 0; booleans are not numbers."""
    number = _as_float(value)
    if not 0 < number < math.inf:  # "not <" also rejects NaN
        raise FieldError(key, "must be a number above 0", value)
    return number


def number_from_zero(key: str, value: object) -> float:
    """Return the value as a finite float of at least 0; booleans are not numbers."""
    number = _as_float(value)
    if not 0 <= number < math.inf:
        raise FieldError(key, "must be a number of at least 0", value)
    return number


def label(key: str, value: object) -> str:
    """Return the value if it is a DNS-1123 label, which Kubernetes accepts as a name and as a label's value."""
    if not isinstance(value, str) or len(value) > _LABEL_LENGTH or not _LABEL.fullmatch(value):
        rule = f"must be 1 to {_LABEL_LENGTH} of a-z, 0-9 and -, starting and ending with a letter or a digit"
        raise FieldError(key, rule, value)
    return value


def choice(key: str, value: object, kinds: type[_Choice]) -> _Choice:
    """Return the member of `kinds` that the value names."""
    if not isinstance(value, str) or value not in list(kinds):
        raise FieldError(key, f"must be one of {', '.join(kinds)}", value)
    return kinds(value)


def plain_text(key: str, value: object) -> str:
    """Return the value if it is a text that a file or an environment can hold."""
    if not isinstance(value, str):
        raise FieldError(key, "must be a text", value)
    if "\0" in value or not _is_unicode(value):
        raise FieldError(key, "must be Unicode text without NUL characters", value)
    return value


def unknown_key(key: str, known: Collection[str]) -> FieldError:
    """Return the error for an unknown key, with the nearest known one."""
    import difflib  # imported here, because only errors need it

    near = difflib.get_close_matches(key[:_MAX_SHOWN], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}"
    return FieldError(key, f"unknown key; {hint}")


def number_or_text(text: str) -> int | float | str:
    """Return the number that `text` is in plain decimal, or `text` itself, which a check of numbers then refuses.

    >>> number_or_text("300"), number_or_text("0.5"), number_or_text("1_000"), number_or_text("nan")
    (300, 0.5, '1_000', 'nan')
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def shortest(number: float) -> int | float:
    """Return the same number, as an int if it is whole, so that 60.0 is written as `60`."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def shown(value: object) -> str:
    """Return the value as an error message shows it: on one line and shortened."""
    try:
        text = " ".join(repr(value).splitlines())
    except ValueError:  # Python refuses to print an int of thousands of digits
        return "a number too long to print"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def readable(name: str) -> str:
    """Return the name, or its literal if it does not fit on one line."""
    return name if name.isprintable() and 0 < len(name) <= _MAX_SHOWN else shown(name)


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.inf
