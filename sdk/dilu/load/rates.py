"""Rates of requests over time, as deterministic segments: flat ones, waves, steps, repeated phases."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dilu.errors import ConfigError

# More segments than any trace has, and few enough for memory.
_MAX_SEGMENTS = 1_000_000


class Segment(Protocol):
    """A stretch of time with a known rate of requests."""

    @property
    def duration_s(self) -> float:
        """The duration of the segment."""

    @property
    def requests(self) -> float:
        """The mean number of requests in it."""

    def offset_s(self, requests: float) -> float:
        """Return the time from its start at which `requests` of them are over (0 ≤ requests < self.requests)."""

    def until(self, duration_s: float) -> Segment:
        """Return its first `duration_s`, at most all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flat:
    """A constant rate."""

    rps: float
    duration_s: float

    def __post_init__(self) -> None:
        check_rate("rps", self.rps)
        check_duration("duration", self.duration_s)

    @property
    def requests(self) -> float:
        """The mean number of requests in it."""
        return self.rps * self.duration_s

    def offset_s(self, requests: float) -> float:
        """Return the time from its start at which `requests` of them are over."""
        return requests / self.rps

    def until(self, duration_s: float) -> Flat:
        """Return its first `duration_s`."""
        return Flat(rps=self.rps, duration_s=duration_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """A cosine between two rates: it starts at `low_rps` and reaches `high_rps` after half a period."""

    low_rps: float
    high_rps: float
    period_s: float
    duration_s: float

    def __post_init__(self) -> None:
        check_rate("low rps", self.low_rps)
        check_rate("high rps", self.high_rps)
        check_duration("period", self.period_s)
        check_duration("duration", self.duration_s)
        if self.low_rps > self.high_rps:
            raise ConfigError(f"low rps = {self.low_rps:g}, must be at most the high rps = {self.high_rps:g}")

    @property
    def requests(self) -> float:
        """The mean number of requests in it."""
        return self._requests_by(self.duration_s)

    def offset_s(self, requests: float) -> float:
        """Return the time from its start at which `requests` of them are over, by bisection."""
        low_s, high_s = 0.0, self.duration_s
        while low_s < (middle_s := (low_s + high_s) / 2) < high_s:
            if self._requests_by(middle_s) < requests:
                low_s = middle_s
            else:
                high_s = middle_s
        return low_s

    def until(self, duration_s: float) -> Wave:
        """Return its first `duration_s`."""
        return Wave(low_rps=self.low_rps, high_rps=self.high_rps, period_s=self.period_s, duration_s=duration_s)

    def _requests_by(self, offset_s: float) -> float:
        """Return the integral of mean - half x cos(2 pi t / period) from 0 to `offset_s`."""
        mean, half = (self.low_rps + self.high_rps) / 2, (self.high_rps - self.low_rps) / 2
        turn = 2 * math.pi / self.period_s
        return mean * offset_s - half / turn * math.sin(turn * offset_s)


def parse_steps(text: str) -> tuple[Flat, ...]:
    """Return the segments of `20:5,0:10,50:5`: 20 rps for 5 s, none for 10 s, 50 rps for 5 s."""
    return tuple(_parse_step(place, step.strip()) for place, step in enumerate(text.split(","), start=1))


def _parse_step(place: int, step: str) -> Flat:
    rps, colon, seconds = step.partition(":")
    try:
        if not colon:
            raise ValueError
        return Flat(rps=float(rps), duration_s=float(seconds))
    except ConfigError as error:
        raise ConfigError(f"step {place}, {step!r}: {error}") from None
    except ValueError:
        raise ConfigError(f"step {place} = {step!r}, must be RPS:SECONDS, as in 20:5") from None


def repeated(phases: Sequence[Flat], duration_s: float) -> tuple[Segment, ...]:
    """Return the phases, repeated for `duration_s`."""
    check_duration("duration", duration_s)
    if not phases:
        raise ConfigError("a bursty load needs at least one phase")
    cycles = math.ceil(duration_s / math.fsum(phase.duration_s for phase in phases))
    if cycles * len(phases) > _MAX_SEGMENTS:
        raise ConfigError(f"{cycles} rounds of {len(phases)} phases, must be at most {_MAX_SEGMENTS} phases in total")
    return cut(tuple(phases) * cycles, duration_s)


def cut(segments: Sequence[Segment], duration_s: float) -> tuple[Segment, ...]:
    """Return the segments up to `duration_s`, the last one shortened to end there."""
    check_duration("duration", duration_s)
    kept: list[Segment] = []
    start_s = 0.0
    for segment in segments:
        if start_s >= duration_s:
            break
        left_s = duration_s - start_s
        kept.append(segment if segment.duration_s <= left_s else segment.until(left_s))
        start_s += segment.duration_s
    return tuple(kept)


def check_rate(name: str, rps: float) -> None:
    """Raise ConfigError unless `rps` is a finite number, 0 or more."""
    if not 0.0 <= rps < math.inf:  # "not <=" also rejects NaN
        raise ConfigError(f"{name} = {rps:g}, must be a finite number of requests per second, 0 or more")


def check_duration(name: str, duration_s: float) -> None:
    """Raise ConfigError unless `duration_s` is a finite number above 0."""
    if not 0.0 < duration_s < math.inf:
        raise ConfigError(f"{name} = {duration_s:g}, must be a finite number of seconds above 0")
