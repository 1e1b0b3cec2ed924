"""Dilu's own horizontal rule: the paper's moves, made when they pay most, within what the paper's rule would spend.

A shadow of the paper's rule runs along (`paper_shadow`): its starts, its replica time and the load that it leaves over
are the budget. What is left of each sets prices (`prices`), and every move has to be worth them:

* a replica starts when the load that it will meet, as long as bursts last (`burst_duration`) and a start takes
  (`cold_start_times`), is worth the start and its time; several at once where each of them is worth it;
* it starts ahead of a load that comes back in a known period (`periodicity`);
* what is not needed is kept for as long as the gaps so far say (`gap_histogram`), the last replica too;
* as long as less load was not left over than by the paper's rule, it does not stay below that rule.

So it costs about what the paper's rule costs on any load, and what it spends it spends on the load that is not met.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.demand import (
    NEVER_QUIET,
    UNKNOWN_THROUGHPUT,
    Quiet,
    after_quiet_samples,
    keeps_last,
    quiet_first,
    quiet_then,
)
from dilu_autoscaler.policy.horizontal.dilu.cold_start_times import (
    ASSUMED_S,
    ColdStartTimes,
    cold_start_times_first,
    cold_start_times_then,
)
from dilu_autoscaler.policy.horizontal.dilu.gap_histogram import NO_GAPS, Gaps, assumed_gaps, gaps_with
from dilu_autoscaler.policy.horizontal.dilu.keep_alive import at_least_the_shadow, enough, keep_s, kept, last_keep_s
from dilu_autoscaler.policy.horizontal.dilu.paper_shadow import PaperShadow, rests, shadow_after, shadow_at_rest
from dilu_autoscaler.policy.horizontal.dilu.periodicity import NO_RHYTHM, Rhythm, rhythm_after
from dilu_autoscaler.policy.horizontal.dilu.prices import Credit, credit_now, prices_at, remembered
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_autoscaler.policy.horizontal.dilu.situation import FULL_RATIO, RECENT_SAMPLES, Situation
from dilu_autoscaler.policy.horizontal.dilu.starts import ahead, worth_starting
from dilu_autoscaler.policy.horizontal.dilu_paper import WINDOW_SAMPLES
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation, Sample

_DRAIN_S: Final = 3
"""Seconds within which requests that wait too long for the objective should be served."""
_GAP_SCALE_S, _GAP_SHAPE, _GAP_WEIGHT, _GAP_MEMORY = 43.0, 1.185, 7.4, 0.95
_MIN_GAP_S: Final = 3
"""Shorter ones of the last replica are pauses."""
_AHEAD_UNMET: Final = 5.0
"""Replica seconds of load left over, less than by the shadow, up to which it is followed."""
_FORECAST_CORRELATION: Final = 0.62


class CoscaleState(NamedTuple):
    """The shadow, what this rule itself did beside it, and what it learned."""

    shadow: PaperShadow
    recent_rps: tuple[float, ...] = ()
    """Demand of the last seconds, at most RECENT_SAMPLES, oldest first."""
    above_samples: int = 0
    """For how long the load was above what all replicas take; a second in which it was not takes two back."""
    low_samples: int = 0
    """For how long fewer were enough; a second in which they were not takes three back, or all."""
    starts: int = 0
    replica_s: int = 0
    unmet: float = 0.0
    """Load that came while the ready replicas could not take it, in replicas x seconds."""
    gaps: Gaps = ()
    last_gaps: Gaps = ()
    """Of the last replica: lengths of the times without a request."""
    last_keep_s: int = WINDOW_SAMPLES
    quiet: Quiet = NEVER_QUIET
    cold_starts: ColdStartTimes = ColdStartTimes()
    rhythm: Rhythm = NO_RHYTHM


def initial_state(spec: CoscaleSpec, seen: Observation, now_s: float) -> CoscaleState:
    """Return the state of a function that is observed for the first time."""
    gaps = assumed_gaps(_GAP_SCALE_S, _GAP_SHAPE, _GAP_WEIGHT)
    return CoscaleState(
        shadow=PaperShadow(replicas=max(1, seen.desired)),
        gaps=gaps,
        last_gaps=NO_GAPS,
        quiet=quiet_first(seen),
        cold_starts=cold_start_times_first(seen),
    )


def decide(spec: CoscaleSpec, seen: Observation, state: CoscaleState, now_s: float) -> tuple[Decision, CoscaleState]:
    """More when the load is worth it, fewer when they are not worth their time."""
    quiet = quiet_then(seen, state.quiet)
    cold_starts = cold_start_times_then(seen, state.cold_starts, now_s)
    capacity_rps = capacity_now_rps(spec, seen)
    if not capacity_rps or not seen.samples:
        if quiet is not state.quiet or cold_starts is not state.cold_starts:
            state = state._replace(quiet=quiet, cold_starts=cold_starts)
        return _without_a_course(spec, seen, state, now_s), state
    course = _Course(spec, seen, state, cold_starts, capacity_rps)
    course.pass_all(seen.samples)
    course.keep_last(needs_one=keeps_last(seen, quiet, course.last_keep_s))
    next_change_s = _next_change_s(spec, seen, quiet, course.last_keep_s, course.replicas, now_s)
    decision = Decision(replicas=course.replicas, reason=course.reason(seen.desired), next_change_s=next_change_s)
    return decision, course.state(quiet)


def capacity_now_rps(spec: CoscaleSpec, seen: Observation) -> float | None:
    """Return the throughput that a replica could be granted now, between its request and its limit.

    >>> seen = Observation(ready=1, desired=1, grantable_rps=30.0)
    >>> [capacity_now_rps(CoscaleSpec(rps_limit=limit, rps_request=40.0), seen) for limit in (56.0, None)]
    [40.0, 40.0]
    """
    limit_rps = spec.rps_limit
    granted_rps = seen.learned_rps if seen.grantable_rps is None else seen.grantable_rps
    if limit_rps is not None and (granted_rps is None or not spec.spends_headroom):
        return limit_rps
    if granted_rps is None:
        return spec.rps_request
    min_rps = spec.rps_request or (0.5 * limit_rps if limit_rps is not None else 0.0)
    return max(min_rps, granted_rps if limit_rps is None else min(limit_rps, granted_rps))


class _Course:
    """One observation's seconds, one after the other."""

    __slots__ = (
        "_above",
        "_capacity_rps",
        "_cold_s",
        "_cold_starts",
        "_filled_s",
        "_full_rps",
        "_gaps",
        "_last_gaps",
        "_low",
        "_quiet_samples",
        "_ready",
        "_recent",
        "_replica_s",
        "_rhythm",
        "_shadow",
        "_spec",
        "_starts",
        "_sum_rps",
        "_uncounted",
        "_unmet",
        "_waits",
        "last_keep_s",
        "replicas",
    )

    def __init__(
        self,
        spec: CoscaleSpec,
        seen: Observation,
        state: CoscaleState,
        cold_starts: ColdStartTimes,
        capacity_rps: float,
    ) -> None:
        most = spec.bounds.max_replicas  # which may have been lowered since the number was decided
        self.replicas = seen.desired if most is None else min(seen.desired, most)
        self._spec, self._ready, self._cold_starts = spec, seen.ready, cold_starts
        self._cold_s = max(1, round(cold_starts.typical_s if spec.learns_cold_start else ASSUMED_S))
        self._capacity_rps, self._full_rps = capacity_rps, capacity_rps * FULL_RATIO
        self._uncounted = 0 if spec.counts_starting else max(0, self.replicas - seen.ready)
        self._waits = math.inf
        if spec.counts_backlog and spec.slo_s is not None:
            self._waits = seen.ready * capacity_rps * spec.slo_s
        (
            self._shadow,
            self._recent,
            self._above,
            self._low,
            self._starts,
            self._replica_s,
            self._unmet,
            self._gaps,
            self._last_gaps,
            self.last_keep_s,
            quiet,
            _,
            self._rhythm,
        ) = state
        self._quiet_samples = quiet.samples
        self._filled_s, self._sum_rps = self._rhythm.filled_s, self._rhythm.sum_rps

    def pass_all(self, samples: Sequence[Sample]) -> None:
        """Seconds are over, oldest first. Most functions rest most of the time, so that has a quick way."""
        passed = quiet_until = 0
        while passed < len(samples):
            sample = samples[passed]
            self.pass_second(sample)
            passed += 1
            if sample.is_quiet:
                if quiet_until < passed:
                    quiet_until = _quiet_until(samples, passed)
                passed += self._rest(quiet_until - passed)

    def pass_second(self, sample: Sample) -> None:
        """One second is over."""
        spec, replicas, shadow = self._spec, self.replicas, self._shadow
        credit = partial(
            credit_now, spec, shadow, starts=self._starts, replica_s=self._replica_s, unmet=self._unmet
        )  # as it was before that second
        self._count(sample)
        if spec.bounds.min_replicas == 0:
            self._count_quiet(credit, is_quiet=sample.is_quiet)
        if not replicas:
            return
        if self._is_calm():
            self._low = 0
            self._change(spec.bounds.clamp(replicas))
            return
        now = self._situation(credit())
        wanted = replicas + worth_starting(now)
        if self._rhythm.period:
            wanted = ahead(now, wanted)
        if wanted == replicas and replicas > 1:
            wanted = self._fewer(now)
        if spec.keeps_budget and now.credit.unmet < _AHEAD_UNMET:
            wanted = at_least_the_shadow(now, wanted, has_started=self._shadow.starts > shadow.starts)
        self._change(spec.bounds.clamp(wanted))

    def keep_last(self, *, needs_one: bool) -> None:
        """Go to zero after a long enough time without a request, and to one at a request."""
        if needs_one and self.replicas == 0:
            self._change(1)
        elif not needs_one and self.replicas == 1 and self._spec.bounds.min_replicas == 0:
            self._change(0)

    def state(self, quiet: Quiet) -> CoscaleState:
        """Return the next state."""
        shadow = self._shadow
        starts, replica_s, unmet = remembered(
            self._spec, shadow, starts=self._starts, replica_s=self._replica_s, unmet=self._unmet
        )
        return CoscaleState(
            shadow,
            self._recent,
            self._above,
            self._low,
            starts,
            replica_s,
            unmet,
            self._gaps,
            self._last_gaps,
            self.last_keep_s,
            quiet,
            self._cold_starts,
            self._rhythm_now(),
        )

    def reason(self, before: int) -> str:
        """Return the reason of the change from `before`, one line for operators."""
        if self.replicas == 0 == before:
            return "zero: no demand"
        text = f"{_move(before, self.replicas)}: {self._recent[-1]:.1f} rps at {self._capacity_rps:.1f} each"
        if self._above:
            text += f", above all for {self._above} s"
        if self._low:
            text += f", fewer enough for {self._low} s"
        if self._rhythm.period:
            text += f", again every {self._rhythm.period * self._rhythm.step_s} s"
        if self._spec.keeps_budget:
            shadow = self._shadow
            text += f"; {self._starts} starts, the paper's rule {shadow.starts}"
            text += f"; {self._replica_s} replica seconds, it {shadow.replica_s} ({shadow.replicas} now)"
        return text

    def _is_calm(self) -> bool:
        """Whether one replica at most is enough, now and for all that is known: most functions, most of the time."""
        return self.replicas <= 1 and self._above < 2 and not self._rhythm.period and self._shadow.replicas <= 1

    def _rest(self, seconds: int) -> int:
        """Pass that many quiet seconds at once, or the first of them, after a quiet one.

        Returns how many were passed; the others may change more than that.
        """
        spec, shadow = self._spec, self._shadow
        if seconds < 1 or not self._is_calm() or self._above or spec.bounds.clamp(self.replicas) != self.replicas:
            return 0
        if spec.forecasts:
            seconds = min(seconds, self._rhythm.step_s - self._filled_s - 1)
        if seconds < 1 or not rests(shadow, self._capacity_rps, spec.bounds):
            return 0
        self._shadow = shadow_at_rest(shadow, seconds, spec.bounds)
        self._replica_s += seconds * self.replicas
        self._recent = (*self._recent, *[0.0] * min(seconds, RECENT_SAMPLES))[-RECENT_SAMPLES:]
        if spec.forecasts:
            self._filled_s += seconds
        if spec.bounds.min_replicas == 0:
            self._quiet_samples += seconds
        return seconds

    def _situation(self, credit: Credit) -> Situation:
        return Situation(
            self._spec,
            credit,
            prices_at(credit),
            self._shadow,
            self._rhythm_now(),
            self.replicas,
            self._uncounted,
            self._full_rps,
            self._recent,
            self._above,
            self._cold_s,
        )

    def _count(self, sample: Sample) -> None:
        """Count the load of a second and its cost."""
        rps, replicas, capacity_rps = sample.rps, self.replicas, self._capacity_rps
        self._shadow = shadow_after(
            self._shadow,
            rps,
            capacity_rps,
            self._spec.bounds,
            is_quiet=sample.is_quiet,
            cold_start_samples=self._cold_s,
        )
        self._replica_s += replicas
        unmet, late = rps / capacity_rps - self._ready, sample.concurrency - self._waits
        if unmet > 0.0:
            self._unmet += unmet
        demand_rps = rps + late / _DRAIN_S if late > 0.0 else rps
        self._recent = (*self._recent, demand_rps)[-RECENT_SAMPLES:]
        if demand_rps > replicas * self._full_rps:
            self._above += 1
        elif self._above:
            self._above = max(0, self._above - 2)
        if self._spec.forecasts:
            self._count_step(rps)

    def _count_step(self, rps: float) -> None:
        """Count a second of the rhythm; here, because it costs less than a new `Rhythm`."""
        if self._filled_s + 1 < self._rhythm.step_s:
            self._filled_s += 1
            self._sum_rps += rps
            return
        self._rhythm = rhythm_after(self._rhythm_now(), rps, _FORECAST_CORRELATION)
        self._filled_s, self._sum_rps = self._rhythm.filled_s, self._rhythm.sum_rps

    def _rhythm_now(self) -> Rhythm:
        step_s, _, _, mean_rps, steps_rps, products, period = self._rhythm
        return Rhythm(step_s, self._filled_s, self._sum_rps, mean_rps, steps_rps, products, period)

    def _count_quiet(self, credit: Callable[[], Credit], *, is_quiet: bool) -> None:
        """Decide the keep-alive of the last replica at the first quiet second; it stays until the next request."""
        if is_quiet:
            self._quiet_samples += 1
            if self._quiet_samples == 1:
                self.last_keep_s = last_keep_s(self._spec, credit(), self._last_gaps, self._cold_s)
            return
        if self._quiet_samples > _MIN_GAP_S:
            self._last_gaps = gaps_with(self._last_gaps, self._quiet_samples, _GAP_MEMORY)
        self._quiet_samples = 0

    def _fewer(self, now: Situation) -> int:
        """As many as are kept."""
        if enough(now) >= self.replicas:
            if self._low > 1:
                self._gaps = gaps_with(self._gaps, self._low, _GAP_MEMORY)
            self._low = max(0, self._low - 3) if self._low < 6 else 0
            return self.replicas
        self._low += 1
        kept_s = keep_s(now, self._gaps)
        return self.replicas if self._low <= kept_s else kept(now, kept_s)

    def _change(self, replicas: int) -> None:
        if replicas != self.replicas:
            self._starts += max(0, replicas - self.replicas)
            self.replicas, self._low, self._above = replicas, 0, 0


def _quiet_until(samples: Sequence[Sample], begin: int) -> int:
    """Return the place of the first sample from `begin` on that is not quiet."""
    return next((at for at in range(begin, len(samples)) if not samples[at].is_quiet), len(samples))


def _move(before: int, replicas: int) -> str:
    """Return the name of a change.

    >>> [_move(before, after) for before, after in ((0, 1), (1, 3), (3, 3), (3, 1), (1, 0))]
    ['from zero', 'out', 'steady', 'in', 'to zero']
    """
    if replicas > before:
        return "out" if before else "from zero"
    if replicas < before:
        return "in" if replicas else "to zero"
    return "steady"


def _without_a_course(spec: CoscaleSpec, seen: Observation, state: CoscaleState, now_s: float) -> Decision:
    """Decide without a new sample or a known throughput: start the first replica, and remove the last ones."""
    needs_one = keeps_last(seen, state.quiet, state.last_keep_s)
    if seen.desired == 0 and needs_one:
        asked = f"{seen.waiting} waiting" if seen.waiting else f"{len(seen.samples)} new samples with demand"
        return Decision(replicas=1, reason=f"from zero: {asked}")
    if seen.desired == 0:
        return Decision(replicas=0, reason="zero: no demand")
    min_replicas = spec.bounds.min_replicas
    if seen.samples and not needs_one and seen.desired > min_replicas:
        quiet = f"no demand in the last {state.quiet.samples} samples, limit {state.last_keep_s}"
        reason = f"{_move(seen.desired, min_replicas)}: {quiet}"
        return Decision(replicas=min_replicas, reason=reason)
    reason = UNKNOWN_THROUGHPUT if seen.samples else "hold: no new sample"
    next_change_s = _next_change_s(spec, seen, state.quiet, state.last_keep_s, seen.desired, now_s)
    return Decision(replicas=None, reason=reason, next_change_s=next_change_s)


def _next_change_s(
    spec: CoscaleSpec, seen: Observation, quiet: Quiet, keep_s: int, replicas: int, now_s: float
) -> float | None:
    """When quiet seconds can make it fewer. None: they alone cannot."""
    if replicas <= spec.bounds.min_replicas or replicas == 0 or (replicas == 1 and seen.is_coming_up):
        return None
    return after_quiet_samples(1 if replicas > 1 else keep_s - quiet.samples, now_s)
