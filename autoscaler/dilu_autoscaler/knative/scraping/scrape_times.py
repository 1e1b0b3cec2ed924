"""How long it takes to ask a revision's pods, as a histogram with Knative's own bounds."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

SCRAPE_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Knative's own."""


class ScrapeTimes:
    """How long the rounds of asking one revision's pods took."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SCRAPE_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one round."""
        self.counts[bisect_left(SCRAPE_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each upper bound as Prometheus spells it, and how many rounds took at most so long."""
        running = 0
        for bound, count in zip((*SCRAPE_BOUNDS_S, None), self.counts, strict=True):
            running += count
            yield "+Inf" if bound is None else repr(bound), running
