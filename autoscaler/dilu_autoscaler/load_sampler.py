"""Load of one function as the policies read it: arrivals, mean concurrency and missed objectives of each second.

The gateway of `dilu up` and the simulated functions count with it. Times are whole microseconds of the caller's clock
and never go back. Quiet seconds cost nothing until they are taken.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dilu_autoscaler.policy.horizontal import Sample

US_PER_S: Final = 1_000_000
MAX_SAMPLES: Final = 3600
"""Older seconds are dropped: no policy looks further back than Knative's longest stable window, an hour."""


class LoadSampler:
    """Counts requests, and turns each elapsed second into one `Sample`."""

    def __init__(self, start_us: int = 0) -> None:
        self.in_flight = 0
        self._second = start_us // US_PER_S
        self._changed_us = start_us
        self._busy_us = 0  # requests in flight x microseconds, in the current second
        self._arrivals = 0
        self._missed = 0
        self._pending: list[Sample] = []
        self._last = _quiet_second(self._second - 1)

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is in flight and nothing has come in the current second."""
        return self.in_flight == 0 and self._arrivals == 0

    def arrived(self, now_us: int) -> None:
        """Count one request that came, whatever becomes of it."""
        self._advance(now_us)
        self._arrivals += 1
        self.in_flight += 1

    def finished(self, now_us: int, count: int = 1, *, missed: int = 0) -> None:
        """Count requests that ended: answered, refused or abandoned; `missed` of them missed their objective."""
        self._advance(now_us)
        self.in_flight -= count
        self._missed += missed

    def take(self, now_us: int) -> tuple[Sample, ...]:
        """Return each second that elapsed since the last call, oldest first."""
        self._advance(now_us)
        samples = tuple(self._pending)
        self._pending.clear()
        return samples

    def last_second(self, now_us: int) -> Sample:
        """Return the second that elapsed last, taken or not."""
        self._advance(now_us)
        return self._last

    def _advance(self, now_us: int) -> None:
        end_us = (self._second + 1) * US_PER_S
        if now_us < end_us:
            if self.in_flight:
                self._busy_us += self.in_flight * (now_us - self._changed_us)
            self._changed_us = now_us
            return
        self._busy_us += self.in_flight * (end_us - self._changed_us)
        self._pending.append(
            Sample(
                t_s=float(self._second),
                concurrency=self._busy_us / US_PER_S,
                rps=float(self._arrivals),
                missed=float(self._missed),
            )
        )
        second = now_us // US_PER_S
        first = max(self._second + 1, second - MAX_SAMPLES)
        if first < second:
            self._pending += _without_arrivals(first, second, self.in_flight)
        if len(self._pending) > MAX_SAMPLES:
            del self._pending[:-MAX_SAMPLES]
        self._last = self._pending[-1]
        self._second, self._arrivals, self._missed, self._changed_us = second, 0, 0, now_us
        self._busy_us = self.in_flight * (now_us - second * US_PER_S)


def whole_us(time_s: float) -> int:
    """Return a clock's seconds as whole microseconds, rounded down.

    >>> whole_us(13.5), whole_us(12.9999999)
    (13500000, 12999999)
    """
    return int(time_s * US_PER_S)


def _without_arrivals(first: int, end: int, in_flight: int) -> list[Sample]:
    """Return the samples of the seconds from `first` to `end` - 1."""
    if not in_flight:
        return list(map(_quiet_second, range(first, end)))
    return [Sample(t_s=float(at), concurrency=float(in_flight), rps=0.0, missed=0.0) for at in range(first, end)]


@lru_cache(maxsize=2 * MAX_SAMPLES)
def _quiet_second(second: int) -> Sample:
    """Return a quiet second, one value for all functions."""
    return Sample(t_s=float(second), concurrency=0.0, rps=0.0, missed=0.0)
