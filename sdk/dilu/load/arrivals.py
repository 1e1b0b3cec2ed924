"""Arrival processes: the times at which requests are due. They are pure; randomness is passed in.

Every rate-driven process has a rate over time (`dilu.load.rates`) and a spacing (`cv`, the coefficient of variation of
the gaps: 0 = even, 1 = Poisson, more = clumped). Gaps are drawn in *requests*, with a mean of one, and then mapped to
the rate: at 20 per second a gap of one request is 0.05 s long; at 0, time passes and no request is due. So a second of
`rps` has `rps` requests on average with any spacing, and a process keeps its spacing across a change of rate.

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
# for 3 s are 0.30000000000000004 requests, and such errors must not move a request across a pause.
_EDGE = 1e-9
# With a cv outside these bounds Gamma gaps overflow or underflow, or never end.
_MIN_CV, _MAX_CV = 0.001, 100.0


class Arrivals(Protocol):
    """The times at which requests are due, as a value that can be drawn from repeatedly."""

    @property
    def duration_s(self) -> float:
        """The duration of the arrivals; none is due after it."""

    def times_s(self, rng: Random) -> Iterator[float]:
        """Yield the due times in seconds from the start, in order; the same for the same state of `rng`."""

    def until(self, duration_s: float) -> Arrivals:
        """Return the arrivals of the first `duration_s`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateArrivals:
    """Requests at the rates of consecutive `segments`, with a spacing of `cv`."""

    segments: tuple[Segment, ...]
    cv: float = 1.0

    def __post_init__(self) -> None:
        if not (self.cv == 0.0 or _MIN_CV <= self.cv <= _MAX_CV):
            raise ConfigError(f"cv = {self.cv:g}, must be 0 (evenly spaced) or {_MIN_CV:g} to {_MAX_CV:g}")

    @property
    def duration_s(self) -> float:
        """The total duration of the segments."""
        return math.fsum(segment.duration_s for segment in self.segments)

    def times_s(self, rng: Random) -> Iterator[float]:
        """Yield the due times in seconds from the start, in order; the same for the same state of `rng`."""
        gaps = gaps_in_requests(self.cv, rng)
        due = next(gaps)  # in requests, from the start of the segment
        at_s = start_s = 0.0
        for segment in self.segments:
            end_s, requests = start_s + segment.duration_s, segment.requests
            latest_s = math.nextafter(end_s, start_s)
            while due < requests - _EDGE:
                # Rounding must not move a request past the end of its segment, nor before its predecessor.
                at_s = max(at_s, min(start_s + segment.offset_s(due), latest_s))
                yield at_s
                due += next(gaps)
            due = max(0.0, due - requests)
            start_s = end_s

    def until(self, duration_s: float) -> RateArrivals:
        """Return the arrivals of the first `duration_s`."""
        return RateArrivals(segments=cut(self.segments, duration_s), cv=self.cv)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedArrivals:
    """Requests at given times, in order, none before 0, without randomness."""

    at_s: tuple[float, ...]

    def __post_init__(self) -> None:
        previous_s = 0.0
        for index, at_s in enumerate(self.at_s):
            if not previous_s <= at_s < math.inf:
                raise ConfigError(f"arrival {index} at {at_s:g} s, must be finite and not before {previous_s:g} s")
            previous_s = at_s

    @property
    def duration_s(self) -> float:
        """The time of the last request."""
        return self.at_s[-1] if self.at_s else 0.0

    def times_s(self, rng: Random) -> Iterator[float]:
        """Return the recorded times, whatever `rng` is."""
        return iter(self.at_s)

    def until(self, duration_s: float) -> RecordedArrivals:
        """Return the arrivals of the first `duration_s`."""
        return RecordedArrivals(at_s=self.at_s[: bisect_left(self.at_s, duration_s)])


def gaps_in_requests(cv: float, rng: Random) -> Iterator[float]:
    """Yield endless gaps with a mean of 1 and the given `cv`; the first is the wait from a random moment.

    That wait is a gap chosen in proportion to its length, which for Gamma(k) is Gamma(k + 1), cut at a uniform
    place. With an ordinary gap, the start of a clumped process would have (cv² - 1) / 2 requests too many, a dozen at
    cv 5. Even spacing is not random and starts at 0.
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
    """Return evenly spaced requests, the first at 0."""
    return gamma(rps, duration_s, cv=0.0)


def poisson(rps: float, duration_s: float) -> RateArrivals:
    """Return independent requests."""
    return gamma(rps, duration_s, cv=1.0)


def gamma(rps: float, duration_s: float, cv: float) -> RateArrivals:
    """Return requests with Gamma-distributed gaps: below cv 1 more even than Poisson, above it clumped."""
    return RateArrivals(segments=(Flat(rps=rps, duration_s=duration_s),), cv=cv)


def periodic(low_rps: float, high_rps: float, period_s: float, duration_s: float, cv: float = 1.0) -> RateArrivals:
    """Return requests at a rate that oscillates between two values, low first."""
    wave = Wave(low_rps=low_rps, high_rps=high_rps, period_s=period_s, duration_s=duration_s)
    return RateArrivals(segments=(wave,), cv=cv)


def bursty(phases: Sequence[Flat], duration_s: float, cv: float = 1.0) -> RateArrivals:
    """Return requests of the phases, repeated for `duration_s`; two phases make on and off."""
    return RateArrivals(segments=repeated(phases, duration_s), cv=cv)


def steps(text: str, cv: float = 1.0) -> RateArrivals:
    """Return requests at consecutive rates, from `RPS:SECONDS,RPS:SECONDS,...`."""
    return RateArrivals(segments=parse_steps(text), cv=cv)
