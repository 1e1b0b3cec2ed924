"""When requests are due: pure arrival processes, with no clock, whose randomness is passed in.

Every rate-driven process is the same two things: a rate over time (`dilu.load.rates`) and how evenly requests
are spaced (`cv`, the coefficient of variation of the gaps: 0 = evenly, 1 = Poisson, more = in clumps). Gaps are
drawn in *requests*, with a mean of one, and then laid over the rate: where the rate is 20 per second, a gap of one
request is 0.05 s long; where it is 0, time passes and no request is due. So a second of `rps` holds `rps`
requests on average with any spacing and any rate, and a process keeps its spacing across a change of rate.

>>> [round(at_s, 3) for at_s in steps("2:1,0:2,4:1", cv=0.0).times_s(Random(1))]
[0.0, 0.5, 3.0, 3.25, 3.5, 3.75]
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from dilu.errors import ConfigError
from dilu.load.rates import Flat, Segment, Wave, cut, parse_steps, repeated

# A request due within a billionth of a request of a segment's end is due in the next one: 0.1 requests a second
# for 3 s are 0.30000000000000004 requests, and such errors must not pull a request to the near side of a pause.
_EDGE = 1e-9
# Gamma gaps outside of these overflow or underflow a float, or never come to an end.
_MIN_CV, _MAX_CV = 0.001, 100.0


class Arrivals(Protocol):
    """When requests are due, as a value that can be drawn from again and again."""

    @property
    def duration_s(self) -> float:
        """The time that the arrivals fill; none of them is due after it."""

    def times_s(self, rng: Random) -> Iterator[float]:
        """The due times in seconds from the start, in order; the same for the same state of `rng`."""

    def until(self, duration_s: float) -> Arrivals:
        """Those of the first `duration_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateArrivals:
    """Requests at the rate of `segments`, one after the other, spaced by `cv`."""

    segments: tuple[Segment, ...]
    cv: float = 1.0

    def __post_init__(self) -> None:
        if not (self.cv == 0.0 or _MIN_CV <= self.cv <= _MAX_CV):
            raise ConfigError(f"cv = {self.cv:g}, must be 0 (evenly spaced) or {_MIN_CV:g} to {_MAX_CV:g}")

    @property
    def duration_s(self) -> float:
        """The length of all segments together."""
        return math.fsum(segment.duration_s for segment in self.segments)

    def times_s(self, rng: Random) -> Iterator[float]:
        """The due times in seconds from the start, in order; the same for the same state of `rng`."""
        gaps = gaps_in_requests(self.cv, rng)
        due = next(gaps)  # in requests, from the start of the segment
        at_s = start_s = 0.0
        for segment in self.segments:
            end_s, requests = start_s + segment.duration_s, segment.requests
            latest_s = math.nextafter(end_s, start_s)
            while due < requests - _EDGE:
                # Rounding must not carry a request past the end of its segment, nor before the one ahead of it.
                at_s = max(at_s, min(start_s + segment.offset_s(due), latest_s))
                yield at_s
                due += next(gaps)
            due = max(0.0, due - requests)
            start_s = end_s

    def until(self, duration_s: float) -> RateArrivals:
        """Those of the first `duration_s`."""
        return RateArrivals(segments=cut(self.segments, duration_s), cv=self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedArrivals:
    """Requests at given times, in order, none before 0. There is nothing random in them."""

    at_s: tuple[float, ...]

    def __post_init__(self) -> None:
        previous_s = 0.0
        for index, at_s in enumerate(self.at_s):
            if not previous_s <= at_s < math.inf:
                raise ConfigError(f"arrival {index} at {at_s:g} s, must be finite and not before {previous_s:g} s")
            previous_s = at_s

    @property
    def duration_s(self) -> float:
        """The time of the last one."""
        return self.at_s[-1] if self.at_s else 0.0

    def times_s(self, rng: Random) -> Iterator[float]:
        """The recorded times, whatever `rng` is."""
        return iter(self.at_s)

    def until(self, duration_s: float) -> RecordedArrivals:
        """Those of the first `duration_s`."""
        return RecordedArrivals(at_s=self.at_s[: bisect_left(self.at_s, duration_s)])


def gaps_in_requests(cv: float, rng: Random) -> Iterator[float]:
    """Endless gaps with a mean of 1 and the given `cv`; the first is the wait from a moment picked at random.

    That wait is a gap picked in proportion to its length, which for Gamma(k) is Gamma(k + 1), cut at a uniform
    place. If it were an ordinary gap, the start of a clumped process would hold more than its share: (cv² - 1) / 2
    requests, a dozen at cv 5. Even spacing has nothing random in it and starts at 0.
    """
    if cv == 0.0:
        yield 0.0
        while True:
            yield 1.0
    if cv == 1.0:  # Gamma(1), drawn faster
        while True:
            yield rng.expovariate(1.0)
    shape = 1.0 / (cv * cv)
    yield rng.random() * rng.gammavariate(shape + 1.0, 1.0 / shape)
    while True:
        yield rng.gammavariate(shape, 1.0 / shape)


def constant(rps: float, duration_s: float) -> RateArrivals:
    """Evenly spaced requests, the first at 0."""
    return gamma(rps, duration_s, cv=0.0)


def poisson(rps: float, duration_s: float) -> RateArrivals:
    """Requests that know nothing of each other."""
    return gamma(rps, duration_s, cv=1.0)


def gamma(rps: float, duration_s: float, cv: float) -> RateArrivals:
    """Gamma-distributed gaps: below cv 1 more even than Poisson, above it in clumps."""
    return RateArrivals(segments=(Flat(rps=rps, duration_s=duration_s),), cv=cv)


def periodic(low_rps: float, high_rps: float, period_s: float, duration_s: float, cv: float = 1.0) -> RateArrivals:
    """A rate that swings between two values, low first."""
    wave = Wave(low_rps=low_rps, high_rps=high_rps, period_s=period_s, duration_s=duration_s)
    return RateArrivals(segments=(wave,), cv=cv)


def bursty(phases: Sequence[Flat], duration_s: float, cv: float = 1.0) -> RateArrivals:
    """The phases over and over, for `duration_s`: for on and off, two of them."""
    return RateArrivals(segments=repeated(phases, duration_s), cv=cv)


def steps(text: str, cv: float = 1.0) -> RateArrivals:
    """One rate after the other, from `RPS:SECONDS,RPS:SECONDS,...`."""
    return RateArrivals(segments=parse_steps(text), cv=cv)
