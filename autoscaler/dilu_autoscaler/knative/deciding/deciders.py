"""The scalers of all revisions whose bucket is ours: KPA's two-second ticks and co-scaling's seconds in one loop.

Nothing is written to the cluster here: `DesiredScales` records what was decided, and the reconciler acts on it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from dilu_autoscaler.driver import LoopDriver
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.deciding.co_scaling import CoScalingSpec, on_knative
from dilu_autoscaler.knative.deciding.desired_scales import DesiredScales
from dilu_autoscaler.knative.deciding.kpa_policy import AVERAGED_KPA
from dilu_autoscaler.knative.deciding.loads import FirstObserved, Loads, Replicas, Throughputs
from dilu_autoscaler.knative.objects import UNKNOWN_SCALE
from dilu_autoscaler.knative.reports.collector import Collector
from dilu_autoscaler.loop import ScaleLoop, Tick
from dilu_autoscaler.policy.horizontal import Bounds, ScaleSpec, policy_named
from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import MAX_COUNT, first_excess_burst_capacity
from dilu_autoscaler.ports import Clock

_log = logging.getLogger(__name__)


class WallClock:
    """The loop's clock: other machines stamp the reports."""

    def now_s(self) -> float:
        """Return Unix time."""
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
        clock: Clock | None = None,
    ) -> None:
        """`policy` decides on revisions that opted in; KPA decides on all others."""
        self.collector = Collector(self)
        self._clock = clock or WallClock()
        self._policy = policy_named(policy)
        self._co_scaling = on_knative(self._policy)
        self._settings: dict[str, RevisionSettings] = {}
        self._learned: set[str] = set()  # opted in, and their throughput is known from their runtimes
        self._throughputs = throughputs
        self._scales = DesiredScales(on_change)
        self._loads = Loads(self.collector, replicas=replicas, throughputs=throughputs, recorded=self._scales)
        self._loop = ScaleLoop(clock=self._clock, metrics=self._loads, actuator=self._scales)
        self._driver = LoopDriver(self._loop, self._clock, on_tick=self._ticked, on_clock_set=self._clock_was_set)
        self._on_change = on_change
        self._on_tick = on_tick

    def __contains__(self, key: str) -> bool:
        return key in self._scales

    def __iter__(self) -> Iterator[str]:
        return iter(self._scales)

    @property
    def overruns(self) -> int:
        """How many ticks ran late."""
        return self._driver.overruns

    @property
    def clock_set_s(self) -> float:
        """When the wall clock was last found to have been set (monotonic): loads from before are of another time."""
        return self._driver.clock_set_s

    def ensure(self, key: str, settings: RevisionSettings) -> None:
        """Decide on a revision from now on, with these settings."""
        known = self._settings.get(key)
        if known == settings:
            return
        spec = self._scale_spec(key, settings)  # first, because the policy may refuse the settings
        self._settings[key] = settings
        self.collector.collect(key, settings.collection, self._clock.now_s())
        if key not in self._scales:
            first = first_excess_burst_capacity(settings.kpa, initial_scale=settings.initial_scale)
            self._scales.add(key, excess_burst_capacity=first)
            self._loads.watch(key, settings.kpa, co_scales=self._co_scales(key, settings))
            self._loop.add(spec)
        elif known is None or _decides_otherwise(known, settings):
            self._update(spec, settings)
        self._driver.wake()

    def forget(self, key: str) -> None:
        """Stop deciding on a revision. Unknown ones are ignored."""
        self._settings.pop(key, None)
        self._learned.discard(key)
        self._scales.forget(key)
        self._loads.forget(key)
        self._loop.remove(key)
        self.collector.forget(key)

    def desired(self, key: str) -> int | None:
        """Return the count that was decided last. None: none yet, or the revision is not ours."""
        return self._scales.desired(key)

    def decided(self, key: str) -> tuple[int, int]:
        """Return the count (-1: none yet) and the excess burst capacity that were decided last. KeyError: not ours."""
        scale = self._scales.of(key)
        if scale is None:
            raise KeyError(key)
        return UNKNOWN_SCALE if scale.replicas is None else scale.replicas, scale.excess_burst_capacity

    def may_give_up(self, key: str) -> bool:
        """Return whether a revision's first start may be given up: no request has waited for it for a window."""
        scale = self._scales.of(key)
        return scale is not None and scale.may_give_up

    def co_scales(self, key: str) -> bool:
        """Return whether the co-scaling policy decides on a revision now."""
        return self._loads.co_scales(key)

    def first_observed(self, key: str) -> FirstObserved | None:
        """Return how KPA first observed a revision. None: it did not yet."""
        return self._loads.first_observed(key)

    def policy(self, key: str) -> str:
        """Return the name of the policy that decides on a revision now."""
        return self._policy.name if self._loads.co_scales(key) else AVERAGED_KPA.name

    def settings(self, key: str) -> RevisionSettings | None:
        """Return the settings in force."""
        return self._settings.get(key)

    def last_tick(self, key: str) -> Tick | None:
        """Return the last decision, with what it was made from."""
        return self._loop.last_tick(key)

    def poke(self, key: str) -> None:
        """Decide on a revision now."""
        self._driver.poke(key)

    def poke_at_rest(self, key: str) -> None:
        """Decide on a revision now if it is at zero: there nothing ticks without a poke."""
        if self.desired(key) == 0:
            self.poke(key)

    def load_reported(self, key: str) -> None:
        """Decide on a revision now if its count is zero or unknown; see `collector.LoadListener`."""
        # Before the first decision, after a hand-over for example, a first load is as urgent as at zero.
        if not self.desired(key):
            self.poke(key)

    async def run(self) -> None:
        """Decide whenever something is due, until cancelled."""
        await self._driver.run()

    def run_due(self) -> None:
        """Make every decision that is due now."""
        self._driver.run_due()

    def _clock_was_set(self, went_back: bool) -> None:
        """Reconcile every revision, for times that it waits for may be over; drop loads stamped with times to come."""
        if went_back:
            _log.warning("the clock went back: the loads of %d revisions are forgotten", len(self._settings))
            self.collector.start_afresh()
            self._loads.start_afresh()
        for key in list(self._scales):
            self._on_change(key)

    def _ticked(self, tick: Tick) -> None:
        settings = self._settings.get(tick.function)
        if settings is not None:
            self._on_tick(tick, settings)
            self._learn(tick.function, settings, tick.now_s)

    def _update(self, spec: ScaleSpec, settings: RevisionSettings) -> None:
        self._loads.watch(spec.name, settings.kpa, co_scales=self._co_scales(spec.name, settings))
        self._loop.update(spec)

    def _co_scales(self, key: str, settings: RevisionSettings) -> bool:
        """Return whether co-scaling can decide: without a throughput a rate tells nothing about replicas."""
        function = settings.function
        return function is not None and (function.rps_limit is not None or key in self._learned)

    def _learn(self, key: str, settings: RevisionSettings, now_s: float) -> None:
        """Let co-scaling decide as soon as a runtime of an opted-in revision has learned its throughput."""
        if settings.is_opted_in and not self._loads.co_scales(key) and self._throughputs.learned_rps(key, now_s):
            self._learned.add(key)
            self._update(self._scale_spec(key, settings), settings)

    def _scale_spec(self, key: str, settings: RevisionSettings) -> ScaleSpec:
        function = settings.function
        if function is None or not self._co_scales(key, settings):
            return ScaleSpec(name=key, policy=AVERAGED_KPA, settings=settings.kpa)
        # A throughput may be next to nothing and a load anything: the count has to fit into 32 bits all the same.
        function = replace(function, max_scale=min(function.max_scale or MAX_COUNT, MAX_COUNT))
        bounds = Bounds(min_replicas=function.min_scale, max_replicas=function.max_scale)
        co_scaling = CoScalingSpec(policy=self._policy.settings_for(function), kpa=settings.kpa, bounds=bounds)
        return ScaleSpec(name=key, policy=self._co_scaling, settings=co_scaling, bounds=bounds)


def _decides_otherwise(before: RevisionSettings, after: RevisionSettings) -> bool:
    return (before.kpa, before.is_opted_in, before.function) != (after.kpa, after.is_opted_in, after.function)
