"""The load of each revision over KPA's windows: who reports it records it here, who decides reads it here.

Values of one second add up, as in Knative; the arithmetic is `policy.windows`. Source: the contract, §3.3, §3.5, §4.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from dilu_autoscaler.knative.configuration.revision_settings import Collection
from dilu_autoscaler.knative.reports.sampling import Load
from dilu_autoscaler.knative.reports.stats import Stat
from dilu_autoscaler.policy.horizontal.kpa.settings import Aggregation, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.state import Averages, Points, Windows
from dilu_autoscaler.policy.horizontal.kpa.windows import (
    LARGEST_VALUE,
    average,
    empty_window,
    is_empty,
    record,
    resized,
    weighted_average,
)
from dilu_autoscaler.policy.horizontal.observations import Sample

OLDEST_REPORT_S: Final = 60.0
"""No autoscaler keeps a report for so long before it sends it on."""
MOST_PENDING: Final = 1024
"""Reports are put into the windows when somebody reads them, many at once; not later than after so many."""


@dataclass(slots=True, kw_only=True)
class _Collected:
    """One revision's windows."""

    collection: Collection
    concurrency: Windows
    rps: Windows
    pending: list[tuple[float, float, float]] = field(default_factory=list)  # when, concurrency, rps

    def settle(self) -> None:
        """Put what is pending into the windows."""
        if self.pending:
            self.concurrency = _recorded(self.concurrency, [(t_s, value) for t_s, value, _ in self.pending])
            self.rps = _recorded(self.rps, [(t_s, value) for t_s, _, value in self.pending])
            self.pending.clear()

    def of(self, metric: ScalingMetric) -> Windows:
        """The windows of a metric, with all that was reported."""
        self.settle()
        return self.rps if metric is ScalingMetric.RPS else self.concurrency

    def add(self, t_s: float, concurrency: float, rps: float) -> None:
        """Take in one report."""
        self.pending.append((t_s, concurrency, rps))
        if len(self.pending) >= MOST_PENDING:
            self.settle()


class Collector:
    """Knows the revisions whose load is collected; reports about others are dropped."""

    def __init__(self, *, poke: Callable[[str], None], desired: Callable[[str], int | None]) -> None:
        """`desired` says which number was decided last (None: none yet). Where it is 0, a report of load pokes."""
        self._poke = poke
        self._desired = desired
        self._revisions: dict[str, _Collected] = {}
        self.dropped = 0  # reports about unknown revisions, and those whose numbers are none

    def collect(self, key: str, collection: Collection, now_s: float) -> None:
        """Collect a revision's load from now on, or with other windows than so far; what is known stays."""
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
        """Collect a revision's load no more. Unknown ones are ignored."""
        self._revisions.pop(key, None)

    def start_afresh(self) -> None:
        """Forget all loads: the clock went back, and what is stamped with times to come would hide all that comes."""
        for known in self._revisions.values():
            known.pending.clear()
            known.concurrency = known.rps = _empty(known.collection)

    def record(self, stat: Stat, now_s: float) -> None:
        """Take in a report that was sent to us, at its own time; the first load of a revision at zero pokes."""
        known = self._revisions.get(stat.key)
        concurrency, rps = stat.concurrency - stat.proxied_concurrency, stat.requests - stat.proxied_requests
        if known is None or not _are_loads(concurrency, rps):
            self.dropped += 1
            return
        # A report from so far ahead would empty the windows, and what comes at its right time would be too old. One
        # from so long ago is of now as well: none is kept for so long, so its sender's clock is another than ours.
        is_ahead = stat.time_s - now_s > known.collection.stable_window_s
        is_behind = now_s - stat.time_s > max(OLDEST_REPORT_S, known.collection.stable_window_s)
        known.add(now_s if is_ahead or is_behind else stat.time_s, concurrency, rps)
        if stat.concurrency != 0 and self._desired(stat.key) == 0:
            self._poke(stat.key)

    def record_scraped(self, key: str, load: Load, now_s: float) -> None:
        """Take in what a revision's pods said; also that they have no load."""
        known = self._revisions.get(key)
        if known is None or not _are_loads(load.concurrency, load.rps):
            self.dropped += 1
            return
        known.add(now_s, load.concurrency, load.rps)

    def averages(self, key: str, metric: ScalingMetric, now_s: float) -> Averages | None:
        """The load over both windows. None: nothing is known of the last seconds, which is not the same as none."""
        known = self._revisions.get(key)
        if known is None:
            return None
        windows, collection = known.of(metric), known.collection
        if collection.is_scraped and is_empty(windows.stable, now_s):
            return None
        mean = average if collection.aggregation is Aggregation.LINEAR else weighted_average
        return Averages(stable=mean(windows.stable, now_s), panic=mean(windows.panic, now_s))

    def seconds(self, key: str, *, since_s: float, until_s: float) -> tuple[Sample, ...]:
        """Each second in [since, until) of which something is known, oldest first; at most a stable window of them.

        Seconds between two reports are known, as zeros, those after the last one are not.
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
    """Whether all are numbers that a window takes, so that all windows have the same seconds."""
    return all(abs(value) <= LARGEST_VALUE for value in values)


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
