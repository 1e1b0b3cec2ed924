"""The metrics of a function's requests, behind `/metrics` and `/v1/stats`.

Every request costs one call of `finished` on the server's loop, so the counters are plain lists without locks, and
become Prometheus families only at a scrape (`exposition`). `benchmarks/metrics_cost.py` measures that call.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

from dilu.runtime.reporting.last_second import LastSecond

# Seconds, up to six per decade: fine enough to distinguish usual objectives.
LATENCY_BUCKETS_S = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1),
    *(0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0),
)
BATCH_BUCKETS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

OK = 200
REFUSED = frozenset({429, 503})
_ALWAYS_SHOWN_CODES = (200, 422, 429, 500)  # so that rate() works from the first request on


class Histogram:
    """Counts by upper bound, and the sum. Not thread-safe."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulative(self) -> list[tuple[str, float]]:
        """Return Prometheus' buckets: (upper bound, number of values up to it)."""
        running = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            running += count
            buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), running))
        return buckets


class FunctionMetrics:
    """The metrics of one function. Only the server's loop writes them; any thread may read them."""

    def __init__(self, function: str, *, slo_s: float | None) -> None:
        self.function = function
        self.slo_s = slo_s
        self.in_flight = 0
        self.arrival_count = 0
        self.queue_depth: Callable[[], int] = lambda: 0  # set by the service that owns the queue
        self.codes: dict[int, int] = dict.fromkeys(_ALWAYS_SHOWN_CODES, 0)
        self.refused_by: dict[str, int] = {}
        self.slo_met = 0
        self.slo_missed = 0
        self.duration = Histogram(LATENCY_BUCKETS_S)
        self.queue_wait = Histogram(LATENCY_BUCKETS_S)
        self.first_part = Histogram(LATENCY_BUCKETS_S)
        self.execution = Histogram(LATENCY_BUCKETS_S)
        self.batch_size = Histogram(BATCH_BUCKETS)
        self.cold_start_s: dict[str, float] = {}
        self.arrivals = LastSecond()
        self.completions = LastSecond()
        self.refusals = LastSecond()

    # -- written once per request or batch

    def arrived(self, now_s: float) -> None:
        """Count a request that arrived, whatever its outcome."""
        self.in_flight += 1
        self.arrival_count += 1
        self.arrivals.add(now_s)

    def finished(self, code: int, now_s: float, arrived_s: float, started_s: float) -> None:
        """Count a request that was answered with status `code`; `started_s` is 0.0 if its batch never began."""
        self.in_flight -= 1
        latency_s = now_s - arrived_s
        codes = self.codes
        codes[code] = codes.get(code, 0) + 1
        self.duration.observe(latency_s)
        if started_s:
            self.queue_wait.observe(started_s - arrived_s)
        if code == OK:
            self.completions.add(now_s)
            if self.slo_s is not None:
                if latency_s <= self.slo_s:
                    self.slo_met += 1
                else:
                    self.slo_missed += 1
            return
        if code in REFUSED:
            self.refusals.add(now_s)
        if code >= 500 or code in REFUSED:  # a client error (4xx) does not count for the objective
            self.slo_missed += self.slo_s is not None

    def sent_first_part(self, latency_s: float) -> None:
        """Record that a streamed answer began `latency_s` after its request arrived."""
        self.first_part.observe(latency_s)

    def refused(self, reason: str) -> None:
        """Count a request that was refused before anything was executed."""
        self.refused_by[reason] = self.refused_by.get(reason, 0) + 1

    def ran_batch(self, size: int, execution_s: float) -> None:
        """Record a batch of `size` items that ran for `execution_s`."""
        self.batch_size.observe(size)
        self.execution.observe(execution_s)

    # -- read

    def totals(self) -> dict[str, int]:
        """Return the counts since the start, by outcome."""
        codes = dict(self.codes)
        return {
            "requests": sum(codes.values()),
            "completed": codes.get(OK, 0),
            "failed": sum(count for code, count in codes.items() if code >= 500 and code not in REFUSED),
            "refused": sum(codes.get(code, 0) for code in REFUSED),
            "slo_met": self.slo_met,
            "slo_missed": self.slo_missed,
        }

    def batch_size_mean(self) -> float | None:
        """Return the mean number of items per batch since the start, or None before the first batch."""
        batches = sum(self.batch_size.counts)
        return self.batch_size.total / batches if batches else None
