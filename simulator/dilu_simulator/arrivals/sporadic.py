"""A load that is mostly absent: now and then a few seconds of requests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from dilu.load.arrivals import RateArrivals
from dilu.load.rates import Flat, check_duration, check_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class SporadicArrivals:
    """Pauses and bursts whose lengths are exponential; within a burst requests are spaced by `cv`. A pause is first."""

    burst_rps: float
    burst_s: float
    """Mean length of a burst."""
    pause_s: float
    """Mean length of a pause."""
    duration_s: float
    cv: float = 1.0

    def __post_init__(self) -> None:
        check_rate("burst rps", self.burst_rps)
        for name, value in (("burst", self.burst_s), ("pause", self.pause_s), ("duration", self.duration_s)):
            check_duration(name, value)
        RateArrivals(segments=(), cv=self.cv)

    def times_s(self, rng: Random) -> Iterator[float]:
        """Yield the due times in seconds from the start, in order; the same for the same state of `rng`."""
        at_s = 0.0
        while True:
            at_s += rng.expovariate(1.0 / self.pause_s)
            length_s = min(rng.expovariate(1.0 / self.burst_s), self.duration_s - at_s)
            if length_s <= 0.0:
                return
            if self.burst_rps:
                burst = RateArrivals(segments=(Flat(rps=self.burst_rps, duration_s=length_s),), cv=self.cv)
                for offset_s in burst.times_s(rng):
                    yield min(at_s + offset_s, self.duration_s)
            at_s += length_s

    def until(self, duration_s: float) -> SporadicArrivals:
        """Those of the first `duration_s`."""
        return replace(self, duration_s=min(duration_s, self.duration_s))
