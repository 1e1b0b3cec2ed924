"""Latencies as counts, so that memory does not grow with the number of requests."""

from __future__ import annotations

from typing import Final

_KEPT_BITS: Final = 11
"""Leading bits of a latency that are kept: exact up to 2 ms, else within 0.05 %."""


class Latencies:
    """Counts of latencies in microseconds."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_us = 0
        self._counts: dict[tuple[int, int], int] = {}

    def add(self, latency_us: int) -> None:
        """Count one latency, 0 or more."""
        self.count += 1
        self.sum_us += latency_us
        shift = max(0, latency_us.bit_length() - _KEPT_BITS)
        key = (shift, latency_us >> shift)
        self._counts[key] = self._counts.get(key, 0) + 1

    def merge(self, others: Latencies) -> None:
        """Count all of the others as well."""
        self.count += others.count
        self.sum_us += others.sum_us
        for key, count in others._counts.items():
            self._counts[key] = self._counts.get(key, 0) + count

    def percentile_us(self, percent: float) -> int | None:
        """Return the latency that `percent` of the requests do not exceed (nearest rank); None if there was none."""
        if not self.count:
            return None
        wanted = max(1, -int(-self.count * percent // 100))
        for (shift, head), count in sorted(self._counts.items()):
            wanted -= count
            if wanted <= 0:
                return (head << shift) + (1 << shift) // 2
        raise AssertionError("the counts do not add up")
