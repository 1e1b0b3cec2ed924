"""Reads values of Knative's ConfigMaps, which are texts, as Go reads them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dilu.errors import ConfigError
from dilu.spec.go_durations import NS_PER_S, duration_ns

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_MAX_INT32: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ConfigValues:
    """One ConfigMap. Every method returns the value of a key, or the default if the key is absent.

    They raise `ConfigError` with the map, the key, the value and the rule.
    """

    name: str
    data: Mapping[str, str]

    def number(self, key: str, default: float, *, min_value: float = -math.inf, above: float = -math.inf) -> float:
        """Read a finite number."""
        text = self.data.get(key)
        if text is None:
            return default
        try:
            value = float(text.strip()) if "_" not in text else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.wrong(key, "must be a number")
        if value < min_value:
            raise self.wrong(key, f"must be at least {min_value:g}")
        if value <= above:
            raise self.wrong(key, f"must be above {above:g}")
        return value

    def count(self, key: str, default: int, *, min_value: int = 0, max_value: int = _MAX_INT32) -> int:
        """Read a whole number."""
        text = self.data.get(key)
        if text is None:
            return default
        digits = text.strip().removeprefix("-").removeprefix("+")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 10):
            raise self.wrong(key, "must be a whole number")
        value = int(text.strip())
        if not min_value <= value <= max_value:
            raise self.wrong(
                key, f"must be at least {min_value}" if value < min_value else f"must be at most {max_value}"
            )
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false, in Go's spellings."""
        text = self.data.get(key)
        if text is None:
            return default
        if text.strip() not in _TRUE | _FALSE:
            raise self.wrong(key, "must be true or false")
        return text.strip() in _TRUE

    def seconds(
        self,
        key: str,
        default: float,
        *,
        min_value: float = 0.0,
        max_value: float = math.inf,
        above: float = -math.inf,
        whole: bool = False,
    ) -> float:
        """Read a duration in Go's spelling, and return seconds."""
        text = self.data.get(key)
        if text is None:
            return default
        exact_ns = duration_ns(text.strip())
        if exact_ns is None:
            raise self.wrong(key, "must be a duration such as 60s or 1m30s")
        value = exact_ns / NS_PER_S
        if not min_value <= value <= max_value or value <= above:
            bound = f"{min_value:g} s" if max_value == math.inf else f"{min_value:g} s and at most {max_value:g} s"
            raise self.wrong(key, f"must be above {above:g} s" if value <= above else f"must be at least {bound}")
        if whole and exact_ns % NS_PER_S:
            raise self.wrong(key, "must be whole seconds")
        return value

    def one_of(self, key: str, default: str, allowed: tuple[str, ...]) -> str:
        """Read one of some words."""
        text = self.data.get(key, default)
        if text not in allowed:
            raise self.wrong(key, f"must be one of {', '.join(allowed)}")
        return text

    def wrong(self, key: str, rule: str) -> ConfigError:
        """Return the error for a key's value."""
        return ConfigError(f"ConfigMap {self.name}: {key} = {self.data.get(key, '')[:80]!r}, {rule}")
