"""What the loop sees of each revision: its load as the collector has it, its replicas as the cluster has them.

| revision            | load                                                                                       |
|---------------------|--------------------------------------------------------------------------------------------|
| KPA's               | the averages over both windows                                                             |
| opted in to Dilu's  | each second since the last look: arrivals are the collector's rps (activators and          |
|                     | queue-proxies, none counted twice); the runtime adds only what one replica can take        |

No data is not zero load: where the replicas are not known, or nothing has been heard of a revision that has some, the
loop gets no observation or no seconds, and holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from dilu_autoscaler.knative.deciding.kpa_policy import AveragedObservation
from dilu_autoscaler.knative.reports.collector import Collector
from dilu_autoscaler.loop import CLOCK_STEP_BACK_S
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, KpaSpec
from dilu_autoscaler.policy.horizontal.kpa.state import Averages
from dilu_autoscaler.policy.horizontal.observations import Observation, Sample

SECOND_IS_OVER_S: Final = 0.25
"""So long after its end the reports of a second are in."""
GIVEN_UP_S: Final = 5.0
"""A second of which nothing was heard for so long is left out."""
LOOKS_BACK_S: Final = 60.0
"""After a longer pause, such as a week at zero, only so many seconds are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """A revision's replicas."""

    ready: int
    starting: int
    """Asked for and not ready yet, those included for which there is no pod yet."""
    asked_for: int
    """The Deployment's number."""


@dataclass(slots=True, kw_only=True)
class WatchedRevision:
    """One revision that is decided on."""

    kpa: KpaSpec
    co_scales: bool
    """Whether the co-scaling policy decides, which wants seconds; else KPA, which wants averages."""
    desired: int | None = None
    """Decided last. None: nothing yet."""
    excess_burst_capacity: int = 0
    learned_rps: float | None = None
    """What the runtimes last reported (`Observation.learned_rps`), kept because a runtime under load may not answer in
    time and at zero replicas there is none. None: none was reported yet."""
    activates: bool = False
    """It comes from zero and has not had as many ready replicas at once as its activation scale says."""
    for_nobody: bool = False
    """Its first replica is still starting, and nobody has asked for a stable window. The policy keeps it; Knative gives
    it up where it does not start in time."""
    seen_until_s: float | None = None
    """Seconds before this one were handed out."""
    first: tuple[int, float] | None = None
    """How many replicas were ready at KPA's first look, and when that was: Knative makes its scaler then, with data or
    without. None: not yet."""


class Throughputs(Protocol):
    """What the runtimes of a revision report of themselves."""

    def learned_rps(self, key: str, now_s: float) -> float | None:
        """Return the requests per second that one replica has shown it sustains; None while unknown."""
        ...


class Loads:
    """The loop's source of observations."""

    def __init__(
        self,
        collector: Collector,
        *,
        watched: Callable[[str], WatchedRevision | None],
        replicas: Callable[[str], Replicas | None],
        throughputs: Throughputs,
    ) -> None:
        """`replicas` answers None while the cluster's pods are not known."""
        self._collector = collector
        self._watched = watched
        self._replicas = replicas
        self._throughputs = throughputs

    def observe(self, function: str, now_s: float) -> Observation | None:
        """See `ports.MetricsSource`; the function is NAMESPACE/REVISION."""
        watched, replicas = self._watched(function), self._replicas(function)
        if watched is None or replicas is None:
            return None
        if watched.co_scales:
            return self._seconds(function, watched, replicas, now_s)
        if watched.first is None:
            watched.first = replicas.ready, now_s
        averages = self._collector.averages(function, watched.kpa.metric, now_s)
        if averages is None and watched.desired == 0 and replicas.ready == 0:
            averages = Averages(stable=0.0, panic=0.0)  # nobody is there to be asked, and activators have nothing
        if averages is None:
            return None
        return AveragedObservation(
            ready=replicas.ready,
            starting=replicas.starting,
            desired=-1 if watched.desired is None else watched.desired,
            averages=averages,
            first_ready=watched.first[0],
            first_s=watched.first[1],
        )

    def _seconds(self, key: str, watched: WatchedRevision, replicas: Replicas, now_s: float) -> Observation:
        samples = self._take(key, watched, replicas, now_s)
        desired = replicas.asked_for if watched.desired is None else watched.desired
        watched.learned_rps = self._throughputs.learned_rps(key, now_s) or watched.learned_rps
        waiting = 0 if replicas.ready else self._waiting(key, now_s)
        is_at_rest = not (desired or replicas.ready or waiting or any(not sample.is_quiet for sample in samples))
        return Observation(
            samples=samples,
            ready=replicas.ready,
            starting=replicas.starting,
            desired=desired,
            waiting=waiting,
            learned_rps=watched.learned_rps,
            next_sample_s=None if is_at_rest else _next_sample_s(now_s),
        )

    def _take(self, key: str, watched: WatchedRevision, replicas: Replicas, now_s: float) -> tuple[Sample, ...]:
        """The seconds that are over and were not handed out: with a replica, as far as something was heard of it."""
        until_s = math.floor(now_s - SECOND_IS_OVER_S)
        since_s = watched.seen_until_s
        if since_s is None or since_s > until_s + CLOCK_STEP_BACK_S:  # the first look, or the clock went back
            since_s = until_s - 1
        since_s = max(since_s, until_s - LOOKS_BACK_S)
        samples = self._collector.seconds(key, since_s=since_s, until_s=until_s)
        if replicas.ready == 0 or watched.kpa.target_burst_capacity == UNLIMITED_BURST:
            # Only activators report, and only what they hold: silence is no load.
            samples = _filled(samples, since_s, until_s)
        heard_until_s = samples[-1].t_s + 1 if samples else since_s
        watched.seen_until_s = max(heard_until_s, until_s - GIVEN_UP_S)
        return samples

    def _waiting(self, key: str, now_s: float) -> int:
        """Requests that activators hold now, by their last reports."""
        newest = self._collector.seconds(key, since_s=now_s - 2, until_s=now_s + 1)
        return math.ceil(max((sample.concurrency for sample in newest[-2:]), default=0.0))


def _filled(samples: tuple[Sample, ...], since_s: float, until_s: float) -> tuple[Sample, ...]:
    known = {int(sample.t_s): sample for sample in samples}
    return tuple(
        known.get(at) or Sample(t_s=float(at), concurrency=0.0, rps=0.0) for at in range(int(since_s), int(until_s))
    )


def _next_sample_s(now_s: float) -> float:
    return math.floor(now_s - SECOND_IS_OVER_S) + 1 + SECOND_IS_OVER_S
