"""The loop's source of observations on Knative: the load as the collector has it, replicas as the cluster has them.

| revision          | load                                                                                         |
|-------------------|----------------------------------------------------------------------------------------------|
| scaled by KPA     | the averages over both windows                                                               |
| opted in to Dilu  | each second since the last observation: arrivals are the collector's rps (activators and     |
|                   | queue-proxies, none counted twice); runtimes add only what one replica has shown it sustains |

No data is not zero load: while the replicas are unknown, or after no report for a revision that has replicas, the loop
gets no observation or no seconds, and holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from dilu_autoscaler.knative.reports.collector import Collector
from dilu_autoscaler.loop import CLOCK_STEP_BACK_S
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, KpaSpec
from dilu_autoscaler.policy.horizontal.observations import AveragedLoad, Averages, Observation, Sample

SECOND_IS_OVER_S: Final = 0.25
"""The reports of a second are in this long after its end."""
GIVEN_UP_S: Final = 5.0
"""A second without any report is left out after this time."""
MAX_LOOK_BACK_S: Final = 60.0
"""After a longer pause, such as a week at zero, only the last seconds count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """A revision's replicas."""

    ready: int
    starting: int
    """Replicas that are not ready yet, also those without a pod so far."""
    asked_for: int
    """The Deployment's number."""


class Throughputs(Protocol):
    """What the runtimes of a revision report of themselves."""

    def learned_rps(self, key: str, now_s: float) -> float | None:
        """Return the requests per second that one replica has shown it sustains; None while unknown."""
        ...


class RecordedCounts(Protocol):
    """The counts that the actuator recorded."""

    def desired(self, key: str) -> int | None:
        """Return the count that was decided last. None: none yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstObserved:
    """A revision when KPA first observed it: Knative makes its scaler then, with data or without."""

    ready: int
    at_s: float


@dataclass(slots=True, kw_only=True)
class _Observed:
    """What the source remembers of one revision."""

    kpa: KpaSpec
    co_scales: bool
    """Whether the co-scaling policy decides, which needs seconds; else KPA, which needs averages."""
    first: FirstObserved | None = None
    learned_rps: float | None = None
    """What the runtimes last reported (`Observation.learned_rps`), kept because a runtime under load may not answer in
    time and at zero replicas there is none. None: none was reported yet."""
    seen_until_s: float | None = None
    """Seconds before this one were handed out."""


class Loads:
    """The loop's source of observations."""

    def __init__(
        self,
        collector: Collector,
        *,
        replicas: Callable[[str], Replicas | None],
        throughputs: Throughputs,
        recorded: RecordedCounts,
    ) -> None:
        """`replicas` answers None while the cluster's pods are unknown."""
        self._collector = collector
        self._replicas = replicas
        self._throughputs = throughputs
        self._recorded = recorded
        self._observed: dict[str, _Observed] = {}

    def watch(self, key: str, kpa: KpaSpec, *, co_scales: bool) -> None:
        """Observe a revision from now on. Where another policy decided before, it is first observed a second time."""
        known = self._observed.get(key)
        if known is None:
            self._observed[key] = _Observed(kpa=kpa, co_scales=co_scales)
            return
        if known.co_scales != co_scales:
            known.first = None
        known.kpa, known.co_scales = kpa, co_scales

    def forget(self, key: str) -> None:
        """Drop a revision. Unknown ones are ignored."""
        self._observed.pop(key, None)

    def start_afresh(self) -> None:
        """Forget when revisions were first observed: the clock went back."""
        for known in self._observed.values():
            known.first = None

    def co_scales(self, key: str) -> bool:
        """Return whether the co-scaling policy decides on a revision."""
        known = self._observed.get(key)
        return known is not None and known.co_scales

    def first_observed(self, key: str) -> FirstObserved | None:
        """Return how KPA first observed a revision. None: it did not yet."""
        known = self._observed.get(key)
        return None if known is None else known.first

    def observe(self, function: str, now_s: float) -> Observation | None:
        """Return what happened since the last call; see `ports.MetricsSource`. The function is NAMESPACE/REVISION."""
        known, replicas = self._observed.get(function), self._replicas(function)
        if known is None or replicas is None:
            return None
        first = FirstObserved(ready=replicas.ready, at_s=now_s) if known.first is None else known.first
        if not known.co_scales:
            known.first = first
        averages = self._averages(function, known, replicas, now_s)
        averaged = None
        if averages is not None:
            averaged = AveragedLoad(averages=averages, first_ready=first.ready, first_s=first.at_s)
        if known.co_scales:
            return self._seconds(function, known, replicas, averaged, now_s)
        if averaged is None:
            return None
        desired = self._recorded.desired(function)
        return Observation(
            ready=replicas.ready,
            starting=replicas.starting,
            desired=-1 if desired is None else desired,
            averaged=averaged,
        )

    def _averages(self, key: str, known: _Observed, replicas: Replicas, now_s: float) -> Averages | None:
        averages = self._collector.averages(key, known.kpa.metric, now_s)
        if averages is None and not known.co_scales and replicas.ready == 0 and self._recorded.desired(key) == 0:
            return Averages(stable=0.0, panic=0.0)  # no pod could report, and activators report no request
        return averages

    def _seconds(
        self, key: str, known: _Observed, replicas: Replicas, averaged: AveragedLoad | None, now_s: float
    ) -> Observation:
        samples = self._take(key, known, replicas, now_s)
        recorded = self._recorded.desired(key)
        desired = replicas.asked_for if recorded is None else recorded
        known.learned_rps = self._throughputs.learned_rps(key, now_s) or known.learned_rps
        waiting = 0 if replicas.ready else self._waiting(key, now_s)
        is_at_rest = not (desired or replicas.ready or waiting or any(not sample.is_quiet for sample in samples))
        return Observation(
            samples=samples,
            ready=replicas.ready,
            starting=replicas.starting,
            desired=desired,
            waiting=waiting,
            learned_rps=known.learned_rps,
            averaged=averaged,
            next_sample_s=None if is_at_rest else _next_sample_s(now_s),
        )

    def _take(self, key: str, known: _Observed, replicas: Replicas, now_s: float) -> tuple[Sample, ...]:
        """Return the seconds that are over and were not handed out; with ready replicas, up to the last report."""
        until_s = math.floor(now_s - SECOND_IS_OVER_S)
        since_s = known.seen_until_s
        if since_s is None or since_s > until_s + CLOCK_STEP_BACK_S:  # the first call, or the clock went back
            since_s = until_s - 1
        since_s = max(since_s, until_s - MAX_LOOK_BACK_S)
        samples = self._collector.seconds(key, since_s=since_s, until_s=until_s)
        if replicas.ready == 0 or known.kpa.target_burst_capacity == UNLIMITED_BURST:
            # Only activators report, and only what they hold: silence is no load.
            samples = _filled(samples, since_s, until_s)
        heard_until_s = samples[-1].t_s + 1 if samples else since_s
        known.seen_until_s = max(heard_until_s, until_s - GIVEN_UP_S)
        return samples

    def _waiting(self, key: str, now_s: float) -> int:
        """Return the requests that activators hold now, by their last reports."""
        newest = self._collector.seconds(key, since_s=now_s - 2, until_s=now_s + 1)
        return math.ceil(max((sample.concurrency for sample in newest[-2:]), default=0.0))


def _filled(samples: tuple[Sample, ...], since_s: float, until_s: float) -> tuple[Sample, ...]:
    known = {int(sample.t_s): sample for sample in samples}
    return tuple(
        known.get(at) or Sample(t_s=float(at), concurrency=0.0, rps=0.0) for at in range(int(since_s), int(until_s))
    )


def _next_sample_s(now_s: float) -> float:
    return math.floor(now_s - SECOND_IS_OVER_S) + 1 + SECOND_IS_OVER_S
