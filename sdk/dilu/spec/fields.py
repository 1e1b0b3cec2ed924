"""Checks of single values: each gives the value back in its own type, or raises with key, value and rule."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeVar

from dilu.errors import ConfigError

INT32_MAX: Final = 2**31 - 1  # the most that Kubernetes and Knative can count
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_LABEL_LENGTH: Final = 63
_WHOLE = re.compile(r"-?[0-9]{1,30}")
_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,3})?")
_MAX_SHOWN: Final = 80
_NOT_SEEN: Final = object()

_Choice = TypeVar("_Choice", bound=StrEnum)


class FieldError(ConfigError):
    """One key's value cannot be used; keeps key, rule and value apart, so that a reader of files can add the line."""

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
        """The same error, whose message starts with what it is about."""
        return FieldError(self.key, self.rule, self.seen, subject=subject, other_key=self.other_key)

    def under(self, path: str) -> FieldError:
        """The same error, whose keys lie under `path`."""
        other_key = None if self.other_key is None else path + self.other_key
        return FieldError(path + self.key, self.rule, self.seen, other_key=other_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where in a file a group of keys was written."""

    file: str
    line: int
    key_lines: Mapping[str, int]

    def locate(self, error: FieldError) -> ConfigError:
        """The error as `FILE:LINE: key: rule (seen value)`."""
        line = self.key_lines.get(error.key) or self.key_lines.get(error.other_key or "") or self.line
        seen = "" if error.seen is _NOT_SEEN else f" (seen {shown(error.seen)})"
        return ConfigError(f"{self.file}:{line}: {readable(error.key)}: {error.rule}{seen}")

    @contextmanager
    def locating(self, path: str = "") -> Iterator[None]:
        """Locates every `FieldError` of its block, whose keys lie under `path`."""
        try:
            yield
        except FieldError as error:
            raise self.locate(error.under(path)) from None


def whole_number(key: str, value: object, *, minimum: int, maximum: int = INT32_MAX, unit: str = "") -> int:
    """The value as an int within the bounds; booleans are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        of = f" of {unit}" if unit else ""
        raise FieldError(key, f"must be a whole number{of} from {minimum} to {maximum}", value)
    return value


def positive_number(key: str, value: object) -> float:
    """The value as a finite float above 0; booleans are no numbers."""
    number = _as_float(value)
    if not 0 < number < math.inf:  # "not <" also rejects NaN
        raise FieldError(key, "must be a number above 0", value)
    return number


def number_from_zero(key: str, value: object) -> float:
    """The value as a finite float of at least 0; booleans are no numbers."""
    number = _as_float(value)
    if not 0 <= number < math.inf:
        raise FieldError(key, "must be a number of at least 0", value)
    return number


def label(key: str, value: object) -> str:
    """The value as a DNS-1123 label, which Kubernetes takes as a name and as the value of a label."""
    if not isinstance(value, str) or len(value) > _LABEL_LENGTH or not _LABEL.fullmatch(value):
        rule = f"must be 1 to {_LABEL_LENGTH} of a-z, 0-9 and -, starting and ending with a letter or a digit"
        raise FieldError(key, rule, value)
    return value


def choice(key: str, value: object, kinds: type[_Choice]) -> _Choice:
    """The member of `kinds` that the value names."""
    if not isinstance(value, str) or value not in list(kinds):
        raise FieldError(key, f"must be one of {', '.join(kinds)}", value)
    return kinds(value)


def plain_text(key: str, value: object) -> str:
    """The value as a text that a file or an environment can hold."""
    if not isinstance(value, str):
        raise FieldError(key, "must be a text", value)
    if "\0" in value or not _is_unicode(value):
        raise FieldError(key, "must be Unicode text without NUL characters", value)
    return value


def unknown_key(key: str, known: Collection[str]) -> FieldError:
    """The error for a key that nobody reads, with the nearest known one."""
    import difflib  # here: only errors need it, and it costs start-up time

    near = difflib.get_close_matches(key[:_MAX_SHOWN], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known keys are {', '.join(known)}"
    return FieldError(key, f"unknown key; {hint}")


def number_or_text(text: str) -> int | float | str:
    """The number that `text` writes in plain decimal, or `text` itself, which a check of numbers then refuses.

    >>> number_or_text("300"), number_or_text("0.5"), number_or_text("1_000"), number_or_text("nan")
    (300, 0.5, '1_000', 'nan')
    """
    if _WHOLE.fullmatch(text):
        return int(text)
    return float(text) if _DECIMAL.fullmatch(text) else text


def shortest(number: float) -> int | float:
    """The same number, as an int where it is whole, so that 60 is written as `60`."""
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def shown(value: object) -> str:
    """The value as an error message shows it: on one line and short."""
    try:
        text = " ".join(repr(value).splitlines())
    except ValueError:  # Python refuses to print an int of thousands of digits
        return "a number too long to print"
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."


def readable(name: str) -> str:
    """The name itself, or as a literal where it would not fit on one line."""
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
