"""Decides on every revision whose bucket is ours: KPA's two-second evaluations and co-scaling's seconds in one loop.

Nothing is written here. What a decision changes is told to `on_change`, and the reconciler acts on it.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.deciding.from_zero import activated, is_for_nobody, is_given_up
from dilu_autoscaler.knative.deciding.kpa_policy import AVERAGED_KPA
from dilu_autoscaler.knative.deciding.loads import Loads, Replicas, Throughputs, WatchedRevision
from dilu_autoscaler.knative.objects import UNKNOWN_SCALE
from dilu_autoscaler.knative.reports.collector import Collector
from dilu_autoscaler.loop import ScaleLoop, Tick
from dilu_autoscaler.policy.horizontal import Decision, ScaleSpec, policy_named
from dilu_autoscaler.policy.horizontal.bounds import Bounds
from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import (
    LARGEST_COUNT,
    excess_burst_capacity,
    first_excess_burst_capacity,
    has_crossed_zero,
)
from dilu_autoscaler.policy.horizontal.kpa.settings import ScalingMetric

BATCH_S: Final = 0.02
"""Evaluations that are due within so long are made at once; pokes do not wait."""
STEP_S: Final = 2.0
"""A clock that is by so much another than it was has been set."""
LATE_S: Final = 1.0
"""An evaluation that comes so much after its time is counted as an overrun."""
_log = logging.getLogger(__name__)


class WallClock:
    """The loop's clock: reports are stamped by other machines."""

    def now_s(self) -> float:
        """Unix time."""
        return time.time()


class Deciders:
    """The scalers of all revisions that are ours now."""

    def __init__(
        self,
        *,
        replicas: Callable[[str], Replicas | None],
        throughputs: Throughputs,
        on_change: Callable[[str], None],
        on_tick: Callable[[Tick, RevisionSettings], None],
        policy: str,
        clock: WallClock | None = None,
    ) -> None:
        """`policy` decides on revisions that opted in; all others are KPA's."""
        # Where nothing was decided yet, after a hand-over for example, the first load is as urgent as at zero.
        self.collector = Collector(poke=self.poke, desired=lambda key: self.desired(key) or 0)
        self.overruns = 0
        self.clock_set_s = -math.inf
        """When the wall clock was found to have been set last (monotonic): what was known before is of another time."""
        self._clock = clock or WallClock()
        self._policy = policy_named(policy)
        self._settings: dict[str, RevisionSettings] = {}
        self._watched: dict[str, WatchedRevision] = {}
        self._learned: set[str] = set()  # opted in, and their throughput is known from their runtimes
        self._throughputs = throughputs
        loads = Loads(self.collector, watched=self._watched.get, replicas=replicas, throughputs=throughputs)
        self._loop = ScaleLoop(clock=self._clock, metrics=loads, actuator=self)
        self._on_change = on_change
        self._on_tick = on_tick
        self._last_now_s = 0.0
        self._wall_ahead_s: float | None = None  # of the monotonic clock
        self._woken = asyncio.Event()

    def __contains__(self, key: str) -> bool:
        return key in self._watched

    def __iter__(self) -> Iterator[str]:
        return iter(self._watched)

    def ensure(self, key: str, settings: RevisionSettings) -> None:
        """Decide on a revision from now on, with these settings."""
        known = self._settings.get(key)
        if known == settings:
            return
        spec = self._scale_spec(key, settings)  # first of all, for it may be refused
        self._settings[key] = settings
        self.collector.collect(key, settings.collection, self._clock.now_s())
        watched = self._watched.get(key)
        if watched is None:
            first = first_excess_burst_capacity(settings.kpa, initial_scale=settings.initial)
            self._watched[key] = WatchedRevision(
                kpa=settings.kpa, co_scales=self._co_scales(key, settings), excess_burst_capacity=first
            )
            self._loop.add(spec)
        elif known is None or _decides_otherwise(known, settings):
            self._decide_by(watched, spec, settings)
        self._woken.set()

    def forget(self, key: str) -> None:
        """Decide on a revision no more. Unknown ones are ignored."""
        self._settings.pop(key, None)
        self._watched.pop(key, None)
        self._learned.discard(key)
        self._loop.remove(key)
        self.collector.forget(key)

    def desired(self, key: str) -> int | None:
        """What was decided last. None: nothing, or the revision is not ours."""
        watched = self._watched.get(key)
        return None if watched is None else watched.desired

    def decided(self, key: str) -> tuple[int, int]:
        """The number and the excess burst capacity that were decided last; -1: no number yet."""
        watched = self._watched[key]
        return UNKNOWN_SCALE if watched.desired is None else watched.desired, watched.excess_burst_capacity

    def is_for_nobody(self, key: str) -> bool:
        """Whether a revision's first replica is still starting, and nobody has asked for it for a stable window."""
        watched = self._watched.get(key)
        return watched is not None and watched.for_nobody

    def first_look(self, key: str) -> tuple[int, float] | None:
        """How many replicas were ready when KPA first looked at a revision, and when. None: it did not yet."""
        watched = self._watched.get(key)
        return None if watched is None else watched.first

    def policy(self, key: str) -> str:
        """The name of the policy that decides on a revision now."""
        watched = self._watched.get(key)
        return self._policy.name if watched is not None and watched.co_scales else AVERAGED_KPA.name

    def settings(self, key: str) -> RevisionSettings | None:
        """The settings in force."""
        return self._settings.get(key)

    def last_tick(self, key: str) -> Tick | None:
        """The last decision, with what it was made from."""
        return self._loop.last_tick(key)

    def poke(self, key: str) -> None:
        """Decide on a revision now."""
        self._loop.poke(key)
        self._woken.set()

    def poke_at_rest(self, key: str) -> None:
        """Decide on a revision now if no further evaluation is due: at zero nothing ticks until somebody pokes."""
        if self.desired(key) == 0:
            self.poke(key)

    def apply(self, function: str, decision: Decision) -> None:
        """See `ports.Actuator`: the reconciler acts once the tick is over."""

    async def run(self) -> None:
        """Decide whenever something is due, until cancelled."""
        while True:
            await self._until_due()
            self.run_due()

    def run_due(self) -> None:
        """Make every decision that is due now."""
        now_s = self._clock.now_s()
        due_s = self._loop.next_due_s()
        if due_s is not None and now_s - due_s > LATE_S:
            self.overruns += 1
        self._compare_clocks(now_s)
        if now_s < self._last_now_s - STEP_S:
            _log.warning("the clock went back by %.1f s: all loads are forgotten", self._last_now_s - now_s)
            self.collector.start_afresh()
            for watched in self._watched.values():
                watched.first = None
            self._last_now_s = now_s
        self._last_now_s = max(self._last_now_s, now_s)
        for tick in self._loop.run_due():
            try:
                self._take(tick)
            except Exception:  # one revision's must not stop the others
                _log.exception("%s: its decision could not be passed on", tick.function)

    def _compare_clocks(self, now_s: float) -> None:
        """Notice that the wall clock was set, in either direction: what was to be done at its times may be due now."""
        monotonic_s = time.monotonic()
        ahead_s = now_s - monotonic_s
        if self._wall_ahead_s is not None and abs(ahead_s - self._wall_ahead_s) > STEP_S:
            self.clock_set_s = monotonic_s
            for key in list(self._watched):
                self._on_change(key)
        self._wall_ahead_s = ahead_s

    async def _until_due(self) -> None:
        if not self._woken.is_set():
            due_s = self._loop.next_due_s()
            wait_s = None if due_s is None else max(BATCH_S, due_s - self._clock.now_s())
            handle = None if wait_s is None else asyncio.get_running_loop().call_later(wait_s, self._woken.set)
            await self._woken.wait()
            if handle is not None:
                handle.cancel()
        self._woken.clear()

    def _take(self, tick: Tick) -> None:
        """Keep what a tick decided."""
        key = tick.function
        watched, settings = self._watched.get(key), self._settings.get(key)
        if watched is None or settings is None:
            return
        before = watched.desired, watched.for_nobody, watched.excess_burst_capacity
        if not tick.failed:
            if watched.for_nobody and is_given_up(tick):
                watched.desired = 0
            elif tick.decision.replicas is not None:
                watched.desired = activated(watched, settings, tick)
            is_coming_up = tick.seen is not None and tick.seen.is_coming_up
            averages = self.collector.averages(key, ScalingMetric.CONCURRENCY, tick.now_s) if is_coming_up else None
            watched.for_nobody = is_for_nobody(watched, tick, averages)
            watched.excess_burst_capacity = self._excess(key, watched, tick)
        self._on_tick(tick, settings)
        self._learn(key, watched, settings, tick.now_s)
        is_new = before[:2] != (watched.desired, watched.for_nobody)
        if is_new or has_crossed_zero(before[2], watched.excess_burst_capacity):
            self._on_change(key)

    def _excess(self, key: str, watched: WatchedRevision, tick: Tick) -> int:
        """KPA's own, also where another policy decides: it says which way requests go."""
        if tick.decision.excess_burst_capacity is not None:
            return tick.decision.excess_burst_capacity
        averages = self.collector.averages(key, watched.kpa.metric, tick.now_s)
        if averages is None or tick.seen is None:
            return watched.excess_burst_capacity
        return excess_burst_capacity(watched.kpa, ready=tick.seen.ready, panic=averages.panic)

    def _decide_by(self, watched: WatchedRevision, spec: ScaleSpec, settings: RevisionSettings) -> None:
        co_scales = self._co_scales(spec.name, settings)
        if watched.co_scales != co_scales:
            watched.first = None  # the other policy begins now
            watched.for_nobody = watched.activates = False
        watched.kpa, watched.co_scales = settings.kpa, co_scales
        self._loop.update(spec)

    def _co_scales(self, key: str, settings: RevisionSettings) -> bool:
        """Without any throughput a rate says nothing about replicas: KPA decides until a runtime has learned one."""
        function = settings.function
        return function is not None and (function.rps_limit is not None or key in self._learned)

    def _learn(self, key: str, watched: WatchedRevision, settings: RevisionSettings, now_s: float) -> None:
        if settings.is_opted_in and not watched.co_scales and self._throughputs.learned_rps(key, now_s):
            self._learned.add(key)
            self._decide_by(watched, self._scale_spec(key, settings), settings)

    def _scale_spec(self, key: str, settings: RevisionSettings) -> ScaleSpec:
        function = settings.function
        if function is None or not self._co_scales(key, settings):
            return ScaleSpec(name=key, policy=AVERAGED_KPA, settings=settings.kpa)
        # A throughput can be said to be next to nothing, a load to be anything: what comes of it fits into 32 bits.
        function = replace(function, max_scale=min(function.max_scale or LARGEST_COUNT, LARGEST_COUNT))
        bounds = Bounds(min_replicas=function.min_scale, max_replicas=function.max_scale)
        return ScaleSpec(name=key, policy=self._policy, settings=self._policy.settings_for(function), bounds=bounds)


def _decides_otherwise(before: RevisionSettings, after: RevisionSettings) -> bool:
    return (before.kpa, before.is_opted_in, before.function) != (after.kpa, after.is_opted_in, after.function)
