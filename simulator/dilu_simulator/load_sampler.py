"""What the loop is told of a function's load: each elapsed second's arrivals and mean concurrency."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from dilu_autoscaler.policy.horizontal import Sample
from dilu_simulator.event_queue import US_PER_S

_MOST_SAMPLES: Final = 3600
"""As in local mode: no policy looks further back than an hour."""


class Seconds:
    """Counts in whole microseconds, samples out; quiet seconds cost nothing until they are asked for."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._second = 0
        self._changed_us = 0
        self._busy_us = 0  # requests in flight x microseconds, in the current second
        self._arrivals = 0
        self._pending: list[Sample] = []

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is in flight and nothing has come in the current second."""
        return self.in_flight == 0 and self._arrivals == 0

    def arrived(self, now_us: int) -> None:
        """One request came."""
        self._advance(now_us)
        self._arrivals += 1
        self.in_flight += 1

    def finished(self, count: int, now_us: int) -> None:
        """So many requests were answered."""
        self._advance(now_us)
        self.in_flight -= count

    def take(self, now_us: int) -> tuple[Sample, ...]:
        """Each second that elapsed since the last call, oldest first."""
        self._advance(now_us)
        samples = tuple(self._pending)
        self._pending.clear()
        return samples

    def _advance(self, now_us: int) -> None:
        end_us = (self._second + 1) * US_PER_S
        if now_us < end_us:
            if self.in_flight:
                self._busy_us += self.in_flight * (now_us - self._changed_us)
            self._changed_us = now_us
            return
        self._busy_us += self.in_flight * (end_us - self._changed_us)
        self._pending.append(
            Sample(t_s=float(self._second), concurrency=self._busy_us / US_PER_S, rps=float(self._arrivals))
        )
        second = now_us // US_PER_S
        first = max(self._second + 1, second - _MOST_SAMPLES)
        if first < second:
            self._pending += _without_arrivals(first, second, self.in_flight)
        if len(self._pending) > _MOST_SAMPLES:
            del self._pending[:-_MOST_SAMPLES]
        self._second, self._arrivals, self._changed_us = second, 0, now_us
        self._busy_us = self.in_flight * (now_us - second * US_PER_S)


def _without_arrivals(first: int, end: int, in_flight: int) -> list[Sample]:
    """The samples of these seconds."""
    if not in_flight:
        return list(map(_quiet_second, range(first, end)))
    return [Sample(t_s=float(at), concurrency=float(in_flight), rps=0.0) for at in range(first, end)]


@lru_cache(maxsize=2 * _MOST_SAMPLES)
def _quiet_second(second: int) -> Sample:
    """A quiet second is the same value for every function."""
    return Sample(t_s=float(second), concurrency=0.0, rps=0.0)
