"""What the metrics of one request cost in our SDK, beside the same updates with prometheus_client's own classes.

    python benchmarks/metrics_cost.py [--quick]

Timed in this process, with nothing else: `arrived` and `finished` of one request and `ran_batch` of a batch of one,
which is the most expensive case. Alternating repeats; the cost of the loop around the calls is not subtracted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder

import harness
from dilu.runtime.reporting.exposition import ReplicaCollector
from dilu.runtime.reporting.metrics import BATCH_BUCKETS, LATENCY_BUCKETS_S, FunctionMetrics

NAME: Final = "metrics_cost"
PACKAGES: Final = ("dilu", "prometheus-client")
SLO_S: Final = 0.1
EXECUTION_S: Final = 0.02
_BETWEEN_S: Final = 0.0002  # 5,000 requests a second, so that the windows of the last second roll as they would
_SCRAPES: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Requests of one repeat, and the number of repeats."""

    requests: int
    repeats: int


FULL: Final = Sizes(requests=200_000, repeats=15)
QUICK: Final = Sizes(requests=50_000, repeats=5)


class Ours:
    """The metrics of our runtime, called as it calls them."""

    def __init__(self) -> None:
        self._metrics = FunctionMetrics("echo", slo_s=SLO_S)
        self.registry = ReplicaCollector([self._metrics], version="").registry()

    def requests(self, count: int) -> None:
        """Make the updates of `count` requests, each a batch of its own."""
        metrics = self._metrics
        arrived_s = 1.0
        for _ in range(count):
            metrics.arrived(arrived_s)
            metrics.ran_batch(1, EXECUTION_S)
            metrics.finished(200, arrived_s + 0.03, arrived_s, arrived_s + 0.01)
            arrived_s += _BETWEEN_S

    def without_batches(self, count: int) -> None:
        """Make the same without `ran_batch`, whose share is small in real batches."""
        metrics = self._metrics
        arrived_s = 1.0
        for _ in range(count):
            metrics.arrived(arrived_s)
            metrics.finished(200, arrived_s + 0.03, arrived_s, arrived_s + 0.01)
            arrived_s += _BETWEEN_S


class Prometheus:
    """The same numbers with prometheus_client's own classes, children looked up once."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, label: str) -> Counter:
            return Counter(name, name, ["function", label], registry=self.registry)

        def histogram(name: str, buckets: tuple[float, ...]) -> Histogram:
            made = Histogram(name, name, ["function"], buckets=buckets, registry=self.registry)
            return made.labels("echo")

        in_flight = Gauge("in_flight", "in_flight", ["function"], registry=self.registry)
        self._in_flight = in_flight.labels("echo")
        self._arrivals = counter("arrivals", "kind").labels("echo", "offered")
        self._requests = counter("requests", "code").labels("echo", "200")
        self._slo_met = counter("slo", "met").labels("echo", "true")
        self._duration = histogram("duration", LATENCY_BUCKETS_S)
        self._queue_wait = histogram("queue_wait", LATENCY_BUCKETS_S)
        self._execution = histogram("execution", LATENCY_BUCKETS_S)
        self._batch_size = histogram("batch_size", BATCH_BUCKETS)

    def requests(self, count: int) -> None:
        """Make the updates of `count` requests, each a batch of its own."""
        arrived_s = 1.0
        for _ in range(count):
            self._in_flight.inc()
            self._arrivals.inc()
            self._batch_size.observe(1)
            self._execution.observe(EXECUTION_S)
            latency_s = arrived_s + 0.03 - arrived_s
            self._in_flight.dec()
            self._requests.inc()
            self._duration.observe(latency_s)
            self._queue_wait.observe(0.01)
            if latency_s <= SLO_S:
                self._slo_met.inc()
            arrived_s += _BETWEEN_S


def each_us(run: Callable[[int], None], count: int) -> float:
    """Return the microseconds of processor time of each of `count`; time in which others had the core is left out."""
    began_s = time.thread_time()
    run(count)
    return (time.thread_time() - began_s) / count * 1e6


def scrape_us(registry: CollectorRegistry) -> float:
    """Return the microseconds of one scrape in Prometheus' text format."""
    encode, _ = choose_encoder("")

    def scrapes(count: int) -> None:
        for _ in range(count):
            encode(registry)

    return each_us(scrapes, _SCRAPES)


def measure(sizes: Sizes) -> dict[str, list[float]]:
    """Return all repeats of all measurements, in microseconds."""
    ours, theirs = Ours(), Prometheus()
    measurements: dict[str, Callable[[], float]] = {
        "ours": lambda: each_us(ours.requests, sizes.requests),
        "ours without ran_batch": lambda: each_us(ours.without_batches, sizes.requests),
        "prometheus_client": lambda: each_us(theirs.requests, sizes.requests),
        "our scrape": lambda: scrape_us(ours.registry),
        "prometheus_client scrape": lambda: scrape_us(theirs.registry),
    }
    return harness.interleaved(tuple(measurements), lambda name: measurements[name](), sizes.repeats)


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    repeats = measure(sizes)
    peer = "prometheus_client"
    rows = [
        harness.row("a request", repeats["ours"], "us", peer=peer, peer_value=repeats[peer], goal="value <= 3"),
        harness.row("a request without its share of a batch", repeats["ours without ran_batch"], "us"),
        harness.row("a scrape", repeats["our scrape"], "us", peer=peer, peer_value=repeats[f"{peer} scrape"]),
    ]
    harness.write_result(
        NAME, rows, details={"repeats_us": repeats, "sizes": asdict(sizes)}, options=options, packages=PACKAGES
    )


if __name__ == "__main__":
    main()
