"""How many tokens the requests of a language model have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, repeat
from random import Random
from typing import NamedTuple, Protocol

from dilu.errors import ConfigError
from dilu.spec.fields import FieldError, number_from_zero, whole_number

MAX_TOKENS = 1_000_000
"""Of one request: more than any model reads."""


class Tokens(NamedTuple):
    """Of one request."""

    prompt: int
    output: int


class TokenSource(Protocol):
    """Token counts, as a value that can be drawn from again and again."""

    @property
    def mean(self) -> Tokens:
        """The mean counts, rounded, at least 1."""

    def draw(self, rng: Random) -> Iterator[Tokens]:
        """One for each request, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedTokens:
    """The same for every request."""

    prompt: int
    output: int

    def __post_init__(self) -> None:
        for name in ("prompt", "output"):
            whole_number(name, getattr(self, name), minimum=1, maximum=MAX_TOKENS)

    @property
    def mean(self) -> Tokens:
        """The counts."""
        return Tokens(self.prompt, self.output)

    def draw(self, rng: Random) -> Iterator[Tokens]:
        """Yield the counts, repeatedly."""
        return repeat(Tokens(self.prompt, self.output))


@dataclass(frozen=True, slots=True, kw_only=True)
class LognormalTokens:
    """Log-normal counts with these means and coefficients of variation, at least 1 each."""

    prompt: int
    output: int
    prompt_cv: float = 1.0
    output_cv: float = 1.0

    def __post_init__(self) -> None:
        for name in ("prompt", "output"):
            whole_number(name, getattr(self, name), minimum=1, maximum=MAX_TOKENS)
        for name in ("prompt_cv", "output_cv"):
            if number_from_zero(name, getattr(self, name)) > 10.0:
                raise FieldError(name, "must be at most 10", getattr(self, name))

    @property
    def mean(self) -> Tokens:
        """The means."""
        return Tokens(self.prompt, self.output)

    def draw(self, rng: Random) -> Iterator[Tokens]:
        """Independent draws."""
        prompt, output = _lognormal(self.prompt, self.prompt_cv), _lognormal(self.output, self.output_cv)
        while True:
            yield Tokens(_count(rng.lognormvariate(*prompt)), _count(rng.lognormvariate(*output)))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedTokens:
    """One for each recorded request, in order; over again where there are more requests."""

    counts: tuple[Tokens, ...]

    def __post_init__(self) -> None:
        if not self.counts:
            raise ConfigError("recorded tokens: no counts, must hold one at least")

    @property
    def mean(self) -> Tokens:
        """The means, rounded."""
        requests = len(self.counts)
        return Tokens(
            _count(sum(count.prompt for count in self.counts) / requests),
            _count(sum(count.output for count in self.counts) / requests),
        )

    def draw(self, rng: Random) -> Iterator[Tokens]:
        """Yield the recorded counts."""
        return cycle(self.counts)


def _lognormal(mean: float, cv: float) -> tuple[float, float]:
    """Mean and deviation of the logarithm."""
    variance = math.log(1.0 + cv * cv)
    return math.log(mean) - variance / 2, math.sqrt(variance)


def _count(value: float) -> int:
    return min(max(1, round(value)), MAX_TOKENS)
