"""How a function's requests ended, as the gateway saw it, and the latencies of the last ones: for `dilu ps`."""

from __future__ import annotations

import math
from collections import deque

_RECENT_ANSWERS = 1024
_RECENT_S = 30.0


class Outcomes:
    """How requests ended: totals since the start, and the latencies of the last ones."""

    def __init__(self, slo_ms: float | None) -> None:
        self.slo_ms = slo_ms
        self.requests = 0
        self.errors = 0
        self.abandoned = 0  # by their clients, before there was an answer
        self.slo_met = 0
        self.slo_missed = 0
        self._recent: deque[tuple[float, float]] = deque(maxlen=_RECENT_ANSWERS)

    def answered(self, now_s: float, latency_s: float) -> None:
        """Count a request that was answered without an error."""
        self.requests += 1
        self._recent.append((now_s, latency_s))
        if self._is_late(latency_s):
            self.slo_missed += 1
        else:
            self.slo_met += 1

    def rejected(self) -> None:
        """Count a client's error (4xx): how fast it was refused tells nothing about the function."""
        self.requests += 1

    def failed(self) -> None:
        """Count a request with a 5xx, part of an answer, or no capacity: it missed its objective."""
        self.requests += 1
        self.errors += 1
        self.slo_missed += 1

    def gave_up(self, latency_s: float) -> None:
        """Count a request whose client left before the answer: missed if it was late by then, else neither."""
        self.requests += 1
        self.abandoned += 1
        if self._is_late(latency_s):
            self.slo_missed += 1

    @property
    def slo_attainment(self) -> float | None:
        """The share of requests, errors included, that met the objective; None without an objective or a request."""
        counted = self.slo_met + self.slo_missed
        return self.slo_met / counted if self.slo_ms is not None and counted else None

    def _is_late(self, latency_s: float) -> bool:
        return self.slo_ms is not None and latency_s * 1000.0 > self.slo_ms

    def percentiles_ms(self, now_s: float) -> tuple[float, float] | None:
        """Return p50 and p95 of the last answers (30 s, at most 1,024), or None without any."""
        recent = sorted(latency_s for ended_s, latency_s in self._recent if now_s - ended_s <= _RECENT_S)
        if not recent:
            return None
        return nearest_rank(recent, 0.50) * 1000.0, nearest_rank(recent, 0.95) * 1000.0


def nearest_rank(ordered: list[float], ratio: float) -> float:
    """Return the value at or below which `ratio` of the ordered values lie.

    >>> nearest_rank([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)]
