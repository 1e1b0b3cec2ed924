"""The metrics of a replica's functions as Prometheus families, built only at a scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from dilu.runtime.reporting.memory import process_memory
from dilu.runtime.reporting.metrics import FunctionMetrics, Histogram


class ReplicaCollector(Collector):
    """A collector that yields each family once, with the samples of all functions."""

    def __init__(self, functions: Sequence[FunctionMetrics], *, version: str) -> None:
        self._functions = functions
        self._version = version

    def registry(self) -> CollectorRegistry:
        """Return a new registry with this collector, so that two replicas in one process (tests) do not collide."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics as Prometheus families."""
        yield InfoMetricFamily("dilu", "The Dilu SDK of this replica.", {"version": self._version})
        yield from self._counters()
        yield self._gauge(
            "dilu_requests_in_flight", "Requests accepted and not yet answered.", lambda one: one.in_flight
        )
        yield self._gauge("dilu_queue_depth", "Requests that wait for a batch.", lambda one: one.queue_depth())
        yield from self._histograms()
        cold = GaugeMetricFamily("dilu_cold_start_seconds", "Time to ready, by phase.", labels=("function", "phase"))
        for one in self._functions:
            for phase, seconds in one.cold_start_s.items():
                cold.add_metric((one.function, phase), seconds)
        yield cold
        yield from _memory()

    def _counters(self) -> Iterable[Metric]:
        yield self._by_label("dilu_requests", "Requests answered, by HTTP status.", "code", lambda one: one.codes)
        yield self._by_label(
            "dilu_requests_refused",
            "Requests refused before anything ran, by reason.",
            "reason",
            lambda one: one.refused_by,
        )
        yield self._by_label(
            "dilu_slo_requests",
            "Requests within and beyond the latency objective; refused and failed ones count as beyond.",
            "met",
            lambda one: {"true": one.slo_met, "false": one.slo_missed},
        )

    def _histograms(self) -> Iterable[Metric]:
        for name, text, histogram_of in _HISTOGRAMS:
            family = HistogramMetricFamily(name, text, labels=("function",))
            for one in self._functions:
                histogram = histogram_of(one)
                family.add_metric((one.function,), histogram.cumulative(), histogram.total)
            yield family

    def _by_label(
        self, name: str, text: str, label: str, counts_of: Callable[[FunctionMetrics], Mapping[Any, int]]
    ) -> Metric:
        family = CounterMetricFamily(name, text, labels=("function", label))
        for one in self._functions:
            for value, count in sorted(counts_of(one).items(), key=lambda item: str(item[0])):
                family.add_metric((one.function, str(value)), count)
        return family

    def _gauge(self, name: str, text: str, value_of: Callable[[FunctionMetrics], float]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("function",))
        for one in self._functions:
            family.add_metric((one.function,), value_of(one))
        return family


_HISTOGRAMS: tuple[tuple[str, str, Callable[[FunctionMetrics], Histogram]], ...] = (
    ("dilu_request_duration_seconds", "From arrival to answer.", lambda one: one.duration),
    ("dilu_first_part_seconds", "From arrival to the first part of a streamed answer.", lambda one: one.first_part),
    ("dilu_queue_wait_seconds", "From arrival to the start of the batch.", lambda one: one.queue_wait),
    ("dilu_batch_execution_seconds", "One call of the handler.", lambda one: one.execution),
    ("dilu_batch_size", "Items in one call of the handler.", lambda one: one.batch_size),
)


def _memory() -> Iterable[Metric]:
    memory = process_memory()
    yield GaugeMetricFamily("dilu_memory_bytes", "Resident memory of the replica.", memory.resident_bytes)
    if memory.gpu_bytes is not None:
        yield GaugeMetricFamily("dilu_gpu_memory_bytes", "Memory that torch holds on the GPU.", memory.gpu_bytes)
