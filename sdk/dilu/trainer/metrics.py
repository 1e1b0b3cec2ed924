"""The metrics of one run, for Prometheus, `/v1/stats` and the progress line.

KLC is the kernel-launching cycle: the time from the first kernel launch of one iteration to the first launch of the
next. Dilu sees where an iteration begins, not the launches, so it measures from the moment at which `steps` is resumed
for an iteration to the moment at which it is resumed for the next. What comes before the first launch of an iteration
(its data, for example) shifts both ends alike. Checkpoints are excluded. It is wall-clock time of the process: on a GPU
it follows the device as soon as the launch queue is full or the iteration waits for a result.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
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

from dilu.runtime.reporting.metrics import Histogram

# Seconds: an iteration takes a millisecond in a test and minutes in a large model.
KLC_BUCKETS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3),
    *(0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0),
)
CHECKPOINT_BUCKETS_S = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
_RECENT = 64  # iterations over which the rate and the mean KLC are computed
_ENOUGH = 16  # iterations whose mean may become the minimum
_STALLED_AFTER = 2.0  # mean iteration times without a new iteration, after which the waiting time counts, too


@dataclass(frozen=True, slots=True, kw_only=True)
class Klc:
    """Kernel-launching cycles in seconds; `mean_s / min_s` is their inflation, 1 without contention.

    They are means, because single cycles vary: with a data loader of two workers long and short ones alternate.
    """

    last_s: float
    mean_s: float  # over the last 64, without the first one of the run, which is a warm-up
    min_s: float | None  # the minimum of the mean in this run; None: fewer than 16 iterations so far


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProgress:
    """The progress of a run at one moment."""

    iteration: int  # the last complete one, counted over all runs
    run_iterations: int  # completed by this run
    iterations_per_s: float | None  # over the last 64, checkpoints included; None: fewer than two so far
    klc: Klc | None
    scalars: Mapping[str, float]  # yielded last by steps
    checkpoint_iteration: int | None  # of the newest checkpoint; None: there is none


class TrainingMetrics(Collector):
    """The metrics of one run. The training thread writes them; any thread may read them."""

    def __init__(self, function: str, *, version: str = "") -> None:
        self.function = function
        self.version = version
        self.cold_start_s: dict[str, float] = {}
        self._lock = threading.Lock()
        self._iteration = 0
        self._run_iterations = 0
        self._ends_s: deque[float] = deque(maxlen=_RECENT + 1)
        self._recent_klc_s: deque[float] = deque(maxlen=_RECENT)
        self._min_klc_s: float | None = None
        self._klc = Histogram(KLC_BUCKETS_S)
        self._scalars: dict[str, float] = {}
        self._checkpoint = Histogram(CHECKPOINT_BUCKETS_S)
        self._checkpoint_iteration: int | None = None

    # -- written by the training thread

    def resumed(self, iteration: int) -> None:
        """Record that the run resumes after `iteration`, from a checkpoint."""
        with self._lock:
            self._iteration = self._checkpoint_iteration = iteration

    def iteration_ended(self, klc_s: float, now_s: float) -> None:
        """Record one more complete iteration."""
        with self._lock:
            self._iteration += 1
            self._run_iterations += 1
            self._ends_s.append(now_s)
            self._klc.observe(klc_s)
            if self._run_iterations == 2:
                self._recent_klc_s.clear()  # drop the first one, which is a warm-up
            self._recent_klc_s.append(klc_s)
            if len(self._recent_klc_s) >= _ENOUGH:
                mean_s = fmean(self._recent_klc_s)
                self._min_klc_s = mean_s if self._min_klc_s is None else min(self._min_klc_s, mean_s)

    def yielded(self, scalars: dict[str, float]) -> None:
        """Record the newest scalars."""
        with self._lock:
            self._scalars = scalars

    def checkpointed(self, iteration: int, seconds: float) -> None:
        """Record that a checkpoint of `iteration` is on the disk."""
        with self._lock:
            self._checkpoint_iteration = iteration
            self._checkpoint.observe(seconds)

    # -- read

    def progress(self, now_s: float) -> TrainingProgress:
        """Return the progress at `now_s` (monotonic)."""
        with self._lock:
            return TrainingProgress(
                iteration=self._iteration,
                run_iterations=self._run_iterations,
                iterations_per_s=_rate(self._ends_s, now_s),
                klc=self._recent_klc(),
                scalars=self._scalars,
                checkpoint_iteration=self._checkpoint_iteration,
            )

    def stats(self, now_s: float) -> dict[str, Any]:
        """Return the metrics' part of `/v1/stats`."""
        now = self.progress(now_s)
        klc = now.klc
        return {
            "iteration": now.iteration,
            "iterations_per_s": now.iterations_per_s,
            "klc": None if klc is None else {"last_s": klc.last_s, "mean_s": klc.mean_s, "min_s": klc.min_s},
            "scalars": dict(now.scalars),
            "checkpoint_iteration": now.checkpoint_iteration,
            "totals": {"iterations": now.run_iterations, "checkpoints": sum(self._checkpoint.counts)},
        }

    def registry(self) -> CollectorRegistry:
        """Return a new registry with this collector, so that two runs in one process (tests) do not collide."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return registry

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics as Prometheus families."""
        with self._lock:
            iteration, run_iterations, scalars = self._iteration, self._run_iterations, self._scalars
            rate = _rate(self._ends_s, time.monotonic())
            klc = (self._klc.cumulative(), self._klc.total)
            checkpoint = (self._checkpoint.cumulative(), self._checkpoint.total)
            checkpoint_iteration = self._checkpoint_iteration
        yield InfoMetricFamily("dilu", "The Dilu SDK of this run.", {"version": self.version})
        total = CounterMetricFamily("dilu_iterations", "Iterations completed by this process.", labels=("function",))
        total.add_metric((self.function,), run_iterations)
        yield total
        yield self._gauge("dilu_iteration", "Number of the last complete iteration, over all runs.", iteration)
        yield self._gauge("dilu_iterations_per_second", "Iterations per second, over the last 64.", rate)
        yield self._gauge("dilu_checkpoint_iteration", "Iteration of the newest checkpoint.", checkpoint_iteration)
        yield self._histogram("dilu_klc_seconds", "From the start of one iteration to the start of the next.", klc)
        yield self._histogram("dilu_checkpoint_seconds", "Time to write one checkpoint.", checkpoint)
        yield self._labelled("dilu_training_scalar", "The value that steps yielded last, by name.", "name", scalars)
        yield self._labelled("dilu_cold_start_seconds", "Time to ready, by phase.", "phase", dict(self.cold_start_s))

    def _recent_klc(self) -> Klc | None:
        if not self._recent_klc_s:
            return None
        recent_s = self._recent_klc_s
        return Klc(last_s=recent_s[-1], mean_s=fmean(recent_s), min_s=self._min_klc_s)

    def _gauge(self, name: str, text: str, value: float | None) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("function",))
        if value is not None:
            family.add_metric((self.function,), value)
        return family

    def _labelled(self, name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
        family = GaugeMetricFamily(name, text, labels=("function", label))
        for key, value in values.items():
            family.add_metric((self.function, key), value)
        return family

    def _histogram(self, name: str, text: str, seen: tuple[list[tuple[str, float]], float]) -> Metric:
        family = HistogramMetricFamily(name, text, labels=("function",))
        family.add_metric((self.function,), *seen)
        return family


def _rate(ends_s: deque[float], now_s: float) -> float | None:
    """Return the iterations per second over the last iterations; it falls while none ends."""
    if len(ends_s) < 2:
        return None
    cycles, span_s = len(ends_s) - 1, ends_s[-1] - ends_s[0]
    if now_s - ends_s[-1] > _STALLED_AFTER * span_s / cycles:
        span_s = now_s - ends_s[0]
    return cycles / span_s if span_s > 0 else None
