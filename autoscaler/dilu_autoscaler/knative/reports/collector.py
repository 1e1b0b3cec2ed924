"""The load of each revision over KPA's windows: reports and scrapes are recorded here, and decisions read it.

Values of one second add up, as in Knative; `kpa.windows` has the arithmetic. Source: the contract, §3.3, §3.5, §4.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from dilu_autoscaler.knative.configuration.revision_settings import Collection
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.reports.stats import Stat
from dilu_autoscaler.policy.horizontal.kpa.settings import Aggregation, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.state import Points, Windows
from dilu_autoscaler.policy.horizontal.kpa.windows import (
    MAX_VALUE,
    average,
    empty_window,
    is_empty,
    record,
    resized,
    weighted_average,
)
from dilu_autoscaler.policy.horizontal.observations import Averages, Sample

MAX_REPORT_AGE_S: Final = 60.0
"""Older than any report that an autoscaler forwards."""
MAX_PENDING: Final = 1024
"""Reports go into the windows in batches: when the windows are read, or after this number of reports."""


@dataclass(slots=True, kw_only=True)
class _Collected:
    """One revision's windows."""

    collection: Collection
    concurrency: Windows
    rps: Windows
    pending: list[tuple[float, float, float]] = field(default_factory=list)  # when, concurrency, rps

    def settle(self) -> None:
        """Put pending reports into the windows."""
        if self.pending:
            self.concurrency = _recorded(self.concurrency, [(t_s, value) for t_s, value, _ in self.pending])
            self.rps = _recorded(self.rps, [(t_s, value) for t_s, _, value in self.pending])
            self.pending.clear()

    def of(self, metric: ScalingMetric) -> Windows:
        """Return the windows of a metric, with all reports."""
        self.settle()
        return self.rps if metric is ScalingMetric.RPS else self.concurrency

    def add(self, t_s: float, concurrency: float, rps: float) -> None:
        """Add one report."""
        self.pending.append((t_s, concurrency, rps))
        if len(self.pending) >= MAX_PENDING:
            self.settle()


class LoadListener(Protocol):
    """The part that decides on revisions."""

    def load_reported(self, key: str) -> None:
        """Take note that a report of some load came for a revision."""
        ...


class Collector:
    """Collects the load of known revisions; reports about others are dropped."""

    def __init__(self, listener: LoadListener) -> None:
        self._listener = listener
        self._revisions: dict[str, _Collected] = {}
        self.dropped = 0  # reports about unknown revisions, and invalid numbers

    def collect(self, key: str, collection: Collection, now_s: float) -> None:
        """Collect a revision's load, or collect it over other windows; the load collected so far stays."""
        known = self._revisions.get(key)
        if known is None:
            windows = _empty(collection)
            self._revisions[key] = _Collected(collection=collection, concurrency=windows, rps=windows)
        elif collection != known.collection:
            known.settle()
            known.concurrency = _resized(known.concurrency, collection, now_s)
            known.rps = _resized(known.rps, collection, now_s)
            known.collection = replace(collection, aggregation=known.collection.aggregation)

    def forget(self, key: str) -> None:
        """Stop collecting a revision's load. Unknown revisions are ignored."""
        self._revisions.pop(key, None)

    def start_afresh(self) -> None:
        """Drop all loads after the clock was set back: loads with times in the future would hide new ones."""
        for known in self._revisions.values():
            known.pending.clear()
            known.concurrency = known.rps = _empty(known.collection)

    def record(self, stat: Stat, now_s: float) -> None:
        """Record a received report at its own time; tell the listener of one with load."""
        known = self._revisions.get(stat.key)
        concurrency, rps = stat.concurrency - stat.proxied_concurrency, stat.requests - stat.proxied_requests
        if known is None or not _are_loads(concurrency, rps):
            self.dropped += 1
            return
        # A report too far in the future would empty the windows and make all following ones too old. No sender keeps a
        # report longer than MAX_REPORT_AGE_S, so an older one has a wrong clock. Both count as of now.
        is_ahead = stat.time_s - now_s > known.collection.stable_window_s
        is_behind = now_s - stat.time_s > max(MAX_REPORT_AGE_S, known.collection.stable_window_s)
        known.add(now_s if is_ahead or is_behind else stat.time_s, concurrency, rps)
        if stat.concurrency != 0:
            self._listener.load_reported(stat.key)

    def record_scraped(self, key: str, load: Load, now_s: float) -> None:
        """Record the load that a scrape found, also zero."""
        known = self._revisions.get(key)
        if known is None or not _are_loads(load.concurrency, load.rps):
            self.dropped += 1
            return
        known.add(now_s, load.concurrency, load.rps)

    def averages(self, key: str, metric: ScalingMetric, now_s: float) -> Averages | None:
        """Return the load over both windows. None: nothing is known of the last seconds, which is not zero load."""
        known = self._revisions.get(key)
        if known is None:
            return None
        windows, collection = known.of(metric), known.collection
        if collection.is_scraped and is_empty(windows.stable, now_s):
            return None
        mean = average if collection.aggregation is Aggregation.LINEAR else weighted_average
        return Averages(stable=mean(windows.stable, now_s), panic=mean(windows.panic, now_s))

    def seconds(self, key: str, *, since_s: float, until_s: float) -> tuple[Sample, ...]:
        """Return the known seconds in [since, until), oldest first, at most a stable window of them.

        Seconds between two reports are known to be zero; those after the last report are not known.
        """
        known = self._revisions.get(key)
        if known is None:
            return ()
        concurrency, rps = known.of(ScalingMetric.CONCURRENCY).stable, known.of(ScalingMetric.RPS).stable
        last_s, size = concurrency.last_s, len(concurrency.buckets)
        if last_s is None or concurrency.first_s is None:
            return ()
        first_s = max(math.floor(since_s), last_s - size + 1, concurrency.first_s)
        return tuple(
            Sample(t_s=float(at), concurrency=concurrency.buckets[at % size], rps=rps.buckets[at % size])
            for at in range(first_s, min(last_s + 1, math.floor(until_s)))
        )


def _are_loads(*values: float) -> bool:
    """Return whether a window accepts all values, so that all windows have the same seconds."""
    return all(abs(value) <= MAX_VALUE for value in values)


def _empty(collection: Collection) -> Windows:
    stable, panic = _lengths(collection)
    return Windows(stable=empty_window(stable), panic=empty_window(panic))


def _resized(windows: Windows, collection: Collection, now_s: float) -> Windows:
    stable, panic = _lengths(collection)
    return Windows(stable=resized(windows.stable, stable, now_s), panic=resized(windows.panic, panic, now_s))


def _lengths(collection: Collection) -> tuple[int, int]:
    return max(1, collection.stable_window_s), max(1, collection.panic_window_s)


def _recorded(windows: Windows, points: Points) -> Windows:
    return Windows(stable=record(windows.stable, points), panic=record(windows.panic, points))
