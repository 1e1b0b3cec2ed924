"""Dilu's own horizontal rule: the paper's moves, made when they pay most, within what the paper's rule would spend.

A shadow of the paper's rule runs along (`paper_shadow`). It says how many cold starts and how much replica time there
are to spend by now. Within that:

* a replica starts as soon as the last five seconds ask for it, and as many at once as they ask for, from starts that
  the shadow has made and this rule has saved (`lead_starts`: also when the shadow is only on its way to one);
* a replica that is not needed is let go sooner than the paper does while time is short, and kept longer while time is
  in hand, so that the next burst finds it warm. With no start in hand it does not go below the shadow, unless the
  shadow is itself on its way in;
* time that was saved by having fewer than the shadow buys a start back, where the load came back instead.

So it costs about what the paper's rule costs on any load, plus the starts that were led or bought back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.policy.coscale_spec import CoscaleSpec
from dilu_autoscaler.policy.demand import (
    UNKNOWN_THROUGHPUT,
    Quiet,
    after_quiet_samples,
    hold,
    keeps_last,
    quiet_first,
    quiet_then,
)
from dilu_autoscaler.policy.dilu_paper import WINDOW_SAMPLES
from dilu_autoscaler.policy.observations import Decision, Observation, Sample
from dilu_autoscaler.policy.paper_shadow import PaperShadow, shadow_after

_OUT_SAMPLES: Final = 5
"""Seconds that decide on going out; the second highest of them counts."""
_IN_SAMPLES: Final = 3
"""Seconds whose mean says that fewer are enough."""
_RECENT_SAMPLES: Final = 12
"""Seconds that decide on how many may go: the third highest of them must fit into the rest."""
_FULL_RATIO: Final = 0.95
"""Of its throughput, what a replica is planned for."""
_SPARE: Final = 0.3
"""Of a replica: for less than that no further one starts."""
_LEAD_ABOVE: Final = 8
"""Samples above all replicas with which the shadow counts as on its way out; it needs 20."""
_MOST_DEBT_S: Final = 15.0
"""Replica seconds that may be owed when one more starts."""
_CALL_DEBT_S: Final = 20.0
"""Replica seconds owed from which on a replica that is not needed goes almost at once."""
_RETURN_S: Final = 30.0
"""Replica seconds in hand that buy one start back."""
_FALL_BELOW: Final = 8
"""Samples below one replica fewer with which the shadow counts as on its way in; it needs 31."""
_ENOUGH_S: Final = 20.0
"""Replica seconds in hand from which on none is let go only to save more of them."""
_DRAIN_S: Final = 10.0
_LEAST_KEEP_S, _MOST_KEEP_S, _LAST_START_KEEP_S = 3.0, 60.0, 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoscaleState:
    """The shadow, and what this rule itself did beside it."""

    shadow: PaperShadow
    recent_rps: tuple[float, ...] = ()
    """Demand of the last seconds, at most _RECENT_SAMPLES, oldest first."""
    low_samples: int = 0
    """For how long fewer were enough; a second in which they were not takes three back."""
    starts: int = 0
    replica_s: int = 0
    quiet: Quiet


def initial_state(spec: CoscaleSpec, seen: Observation, now_s: float) -> CoscaleState:
    """The state of a function first looked at now."""
    return CoscaleState(shadow=PaperShadow(replicas=max(1, seen.desired)), quiet=quiet_first(seen))


def decide(spec: CoscaleSpec, seen: Observation, state: CoscaleState, now_s: float) -> tuple[Decision, CoscaleState]:
    """More when the load asks for it and the budget allows it, fewer when they are not needed any more."""
    quiet = quiet_then(seen, state.quiet)
    capacity_rps = spec.rps_limit or seen.capacity_rps
    if not capacity_rps or not seen.samples:
        reason = "hold: no new sample" if capacity_rps else UNKNOWN_THROUGHPUT
        return hold(seen, reason, _next_change_s(spec, quiet, seen.desired, now_s)), _with_quiet(state, quiet)
    course = _Course(spec, state, capacity_rps, replicas=_at_most(spec, seen.desired))
    for sample in seen.samples:
        if course.replicas:
            course.pass_second(sample.rps, _demand_rps(spec, seen, sample, capacity_rps))
    course.keep_last(needs_one=keeps_last(seen, quiet, WINDOW_SAMPLES))
    next_change_s = _next_change_s(spec, quiet, course.replicas, now_s)
    return Decision(replicas=course.replicas, reason=course.reason(), next_change_s=next_change_s), course.state(quiet)


def _at_most(spec: CoscaleSpec, replicas: int) -> int:
    """Not more than there may be, where the maximum was lowered since the number was decided."""
    most = spec.bounds.max_replicas
    return replicas if most is None else min(replicas, most)


def _demand_rps(spec: CoscaleSpec, seen: Observation, sample: Sample, capacity_rps: float) -> float:
    """What arrived, and what has to be worked off on top: requests in flight that are too many to be in time."""
    if not spec.counts_backlog or spec.slo_s is None:
        return sample.rps
    return sample.rps + max(0.0, sample.concurrency - seen.ready * capacity_rps * spec.slo_s) / _DRAIN_S


class _Course:
    """One observation's seconds, one after the other."""

    def __init__(self, spec: CoscaleSpec, state: CoscaleState, capacity_rps: float, *, replicas: int) -> None:
        self.replicas = replicas
        self._spec = spec
        self._capacity_rps = capacity_rps
        self._shadow = state.shadow
        self._recent = state.recent_rps
        self._low = state.low_samples
        self._starts = state.starts
        self._replica_s = state.replica_s
        self._need = 0

    def pass_second(self, rps: float, demand_rps: float) -> None:
        """One second is over, in which so much came, and in which there was so much to do."""
        self._replica_s += self.replicas
        before = self._shadow
        self._shadow = shadow_after(before, rps, self._capacity_rps, self._spec.bounds)
        self._recent = (*self._recent, demand_rps)[-_RECENT_SAMPLES:]
        in_hand_s = self._spec.time_ratio * self._shadow.replica_s - self._replica_s
        starts = self._starts_left(before, in_hand_s)
        self._need = self._needed()
        if self._need > self.replicas and starts > 0 and self._has_time(in_hand_s):
            more = min(self._need - self.replicas, starts if self._spec.right_number else 1)
            self._change(self._spec.bounds.clamp(self.replicas + more))
        else:
            self._perhaps_in(self._keep_s(in_hand_s, starts), in_hand_s)

    def _fewest(self, in_hand_s: float) -> int:
        """As many as stay, whatever the load is."""
        shadow = self._shadow
        if not self._spec.keeps_budget or shadow.starts > self._starts:
            return 1
        falls = in_hand_s <= _ENOUGH_S and shadow.below >= _FALL_BELOW
        return 1 if falls else shadow.replicas

    def keep_last(self, *, needs_one: bool) -> None:
        """Go to zero when nobody has asked for long enough, and to one when somebody asks."""
        if needs_one and self.replicas == 0:
            self.replicas = 1
            self._starts += 1  # the paper's rule would have made this one too
            shadow = self._shadow
            self._shadow = PaperShadow(replicas=1, starts=shadow.starts + 1, replica_s=shadow.replica_s)
        elif not needs_one and self.replicas == 1 and self._spec.bounds.min_replicas == 0:
            self.replicas = 0

    def state(self, quiet: Quiet) -> CoscaleState:
        """What to remember."""
        return CoscaleState(
            shadow=self._shadow,
            recent_rps=self._recent,
            low_samples=self._low,
            starts=self._starts,
            replica_s=self._replica_s,
            quiet=quiet,
        )

    def reason(self) -> str:
        """One line for people."""
        text = f"{self._need} needed for {self._recent[-1] if self._recent else 0.0:.1f} rps"
        text += f" at {self._capacity_rps:.1f} each"
        if self._low:
            text += f", fewer enough for {self._low} s"
        if self._spec.keeps_budget:
            text += f"; {self._starts} starts, the paper's rule {self._shadow.starts}"
            text += f"; {self._replica_s} replica seconds, it {self._shadow.replica_s} ({self._shadow.replicas} now)"
        return text

    def _needed(self) -> int:
        """What the last seconds ask for, before it is known whether there is a start for it."""
        lately = sorted(self._recent[-_OUT_SAMPLES:])
        if len(lately) < _OUT_SAMPLES:
            return 0
        return math.ceil(lately[-2] / (self._capacity_rps * _FULL_RATIO) - _SPARE)

    def _starts_left(self, shadow: PaperShadow, in_hand_s: float) -> int:
        if not self._spec.keeps_budget:
            return 1_000_000
        saved = self._shadow.starts - self._starts
        leads = shadow.replicas >= self.replicas and self._shadow.above >= _LEAD_ABOVE
        left = saved + (self._spec.lead_starts if leads else 0)
        if left <= 0 and self._spec.returns and self.replicas < shadow.replicas:
            return int(in_hand_s > _RETURN_S * (1 - saved))
        return left

    def _has_time(self, in_hand_s: float) -> bool:
        return not self._spec.keeps_budget or in_hand_s > -_MOST_DEBT_S or self.replicas < self._shadow.replicas

    def _keep_s(self, in_hand_s: float, starts: int) -> float:
        keep_s = self._spec.keep_s
        if not self._spec.keeps_budget:
            return keep_s
        keep_s += 0.3 * in_hand_s / self.replicas
        if starts <= 0 and in_hand_s > 0:
            keep_s += _LAST_START_KEEP_S
        return max(_LEAST_KEEP_S, min(_MOST_KEEP_S, keep_s))

    def _perhaps_in(self, keep_s: float, in_hand_s: float) -> None:
        lately = self._recent[-_IN_SAMPLES:]
        full_rps = self._capacity_rps * _FULL_RATIO
        enough = max(1, math.ceil(sum(lately) / len(lately) / full_rps))
        fewest = self._fewest(in_hand_s)
        if enough >= self.replicas or self.replicas <= fewest:
            self._low = max(0, self._low - 3)
            return
        self._low += 1
        is_owed = in_hand_s < -_CALL_DEBT_S and self.replicas > self._shadow.replicas and self._spec.keeps_budget
        if self._low > keep_s or (is_owed and self._low > _LEAST_KEEP_S):
            highest = sorted(self._recent[-max(1, min(int(keep_s), _RECENT_SAMPLES)) :])
            held = math.ceil(highest[int((len(highest) - 1) * 0.8)] / full_rps)
            self._change(self._spec.bounds.clamp(max(enough, fewest, min(self.replicas - 1, held))))

    def _change(self, replicas: int) -> None:
        self._starts += max(0, replicas - self.replicas)
        self.replicas, self._low = replicas, 0


def _with_quiet(state: CoscaleState, quiet: Quiet) -> CoscaleState:
    if quiet is state.quiet:
        return state
    return CoscaleState(
        shadow=state.shadow,
        recent_rps=state.recent_rps,
        low_samples=state.low_samples,
        starts=state.starts,
        replica_s=state.replica_s,
        quiet=quiet,
    )


def _next_change_s(spec: CoscaleSpec, quiet: Quiet, replicas: int, now_s: float) -> float | None:
    """When quiet seconds can make it fewer. None: they alone cannot."""
    if replicas <= spec.bounds.min_replicas or replicas == 0:
        return None
    return after_quiet_samples(1 if replicas > 1 else WINDOW_SAMPLES - quiet.samples, now_s)
