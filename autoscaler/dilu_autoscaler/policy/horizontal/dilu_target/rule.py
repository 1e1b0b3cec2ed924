"""The rule: rent or buy, one level a replica. Level k is needed while the load needs more than k replicas.

* Out: a level is started once the load that it would have met has cost as much as its start, and in any case once the
  load has stayed above the replicas for `REACT_S`. Several levels start at once where several are due.
* In: the top level is kept for as long as the gaps seen make that cheapest (`gaps`), and is let go only when the load
  is surely below it.
* The last replica is kept while requests come at least once in cold start / (1 - target) seconds. Where they come less
  often, keeping it costs more than the target is worth: the function goes to zero, and the reason says so.
* Ahead: a load that has come twice in a period is started for one cold start before it is due (`period`).
* One knob, the target: the price of a missed replica second follows what was missed lately (`attainment`).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from dilu_autoscaler.policy.horizontal.demand import UNKNOWN_THROUGHPUT, hold
from dilu_autoscaler.policy.horizontal.dilu_target.arrival_rate import NO_ARRIVALS, SURE, ArrivalRate, rate_after
from dilu_autoscaler.policy.horizontal.dilu_target.attainment import (
    MEMORY_S,
    NOTHING_MISSED,
    Attainment,
    attainment_after,
    budget_used,
    price_of_a_miss,
)
from dilu_autoscaler.policy.horizontal.dilu_target.cold_starts import ColdStarts, cold_starts_after, cold_starts_first
from dilu_autoscaler.policy.horizontal.dilu_target.gaps import NO_GAPS, Gaps, gaps_with, keep_s
from dilu_autoscaler.policy.horizontal.dilu_target.need import need_of_the_waiting, steady_need
from dilu_autoscaler.policy.horizontal.dilu_target.period import NO_PERIOD, Period, expected_rps, period_after
from dilu_autoscaler.policy.horizontal.dilu_target.settings import TargetSettings
from dilu_autoscaler.policy.horizontal.dilu_target.throughput import NOTHING_SHOWN, ShownThroughput, shown_after
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation, Sample

START_S: Final = 8.0
"""What a start costs beside the time until it is ready, in replica seconds: an image is pulled and a model loaded,
which neighbours on the node feel."""
REACT_S: Final = 3
"""Seconds for which a load is above the replicas before they are started in any case: two for the rate to be known,
and with this one within the five that are promised."""
_MAX_STARTS: Final = 256
"""In one second: a bound on the work of a decision, whatever the rate."""
_MIN_RPS: Final = 1e-6
"""A replica that answers less than a request in eleven days is taken to answer that."""
_NEVER: Final = 1 << 40
"""Idle seconds of a level that was not needed yet."""


class TargetState(NamedTuple):
    """What is remembered of one function."""

    cold_starts: ColdStarts
    rate: ArrivalRate = NO_ARRIVALS
    shown: ShownThroughput = NOTHING_SHOWN
    attainment: Attainment = NOTHING_MISSED
    period: Period = NO_PERIOD
    unmet: tuple[float, ...] = ()
    """By level: load that it would have met, in replica seconds."""
    idle_s: tuple[int, ...] = (0,)
    """By level: seconds since it was last needed; for the first, since a request was there or it was starting."""
    above_s: int = 0
    """Seconds for which the need has been above the replicas."""
    calm_s: int = 0
    """Seconds since more was in flight than the ready replicas can answer in time: clients who waited ask again as soon
    as they are answered, and until the rate shows that, what was started for them stays."""
    gaps: Gaps = NO_GAPS
    last_gaps: Gaps = NO_GAPS
    """Of the first level: gaps between requests."""


class LoadNeed(NamedTuple):
    """Replicas that the load of a second needs, as real numbers."""

    steady: float
    """For what comes."""
    surely: float
    """What it is below with certainty, since the rate is known only so well."""
    now: float
    """For what comes and what waits."""
    waits: bool
    """Whether more is in flight than the ready replicas can answer in time."""
    due: float
    """For what is due once a replica that starts now is ready."""
    soon: float
    """For the most that is due until then."""


def initial_state(settings: TargetSettings, seen: Observation, now_s: float) -> TargetState:
    """Return the state of a function that is observed for the first time."""
    return TargetState(cold_starts_first(seen))


def decide(
    settings: TargetSettings, seen: Observation, state: TargetState, now_s: float
) -> tuple[Decision, TargetState]:
    """Return how many replicas there should be, and what to remember."""
    cold_starts = cold_starts_after(state.cold_starts, seen, now_s)
    if cold_starts is not state.cold_starts:
        state = state._replace(cold_starts=cold_starts)
    next_change_s = now_s + 1.0 if seen.desired else None
    if not seen.samples:
        return hold(seen, "hold: no new sample", next_change_s), state
    replicas, reason = seen.desired, UNKNOWN_THROUGHPUT
    for sample in seen.samples:
        replica_rps = _throughput_rps(settings, seen, state)
        slo_s = objective_s(settings, replica_rps)
        shown = state.shown
        if not seen.learned_rps:
            shown = shown_after(
                shown, sample, ready=seen.ready, batch=settings.batch, slo_s=slo_s, known_rps=replica_rps
            )
        if replica_rps:
            replicas, reason, state = _second(settings, seen, sample, replicas, replica_rps, slo_s, state)
        state = state._replace(shown=shown._replace(in_flight=sample.concurrency))
    if reason is UNKNOWN_THROUGHPUT:
        return hold(seen, reason, next_change_s), state
    if seen.waiting or seen.is_coming_up:
        replicas = max(replicas, 1)
    return Decision(replicas=replicas, reason=reason, next_change_s=now_s + 1.0 if replicas else None), state


def _throughput_rps(settings: TargetSettings, seen: Observation, state: TargetState) -> float | None:
    """Return the throughput of one replica: what its runtime learned, what it has shown, or what is annotated."""
    known_rps = seen.learned_rps or state.shown.rps or settings.rps_limit
    return max(known_rps, _MIN_RPS) if known_rps else None


def objective_s(settings: TargetSettings, replica_rps: float | None) -> float:
    """Return the objective in seconds; at least two batches, for more replicas make no batch shorter.

    >>> objective_s(TargetSettings(batch=8), 40.0), objective_s(TargetSettings(batch=8, slo_s=0.05), 40.0)
    (1.0, 0.4)
    """
    batch_s = settings.batch / replica_rps if replica_rps else 0.0
    return max(settings.slo_s or max(0.1, 5.0 * batch_s), 2.0 * batch_s)


def _second(
    settings: TargetSettings,
    seen: Observation,
    sample: Sample,
    replicas: int,
    replica_rps: float,
    slo_s: float,
    state: TargetState,
) -> tuple[int, str, TargetState]:
    """Return replicas, reason and state after one second."""
    target_ratio = settings.target_ratio
    cold_s = state.cold_starts.last_s
    missed = _missed(sample, seen.ready, replica_rps, slo_s)
    attainment = attainment_after(state.attainment, sample.rps, missed)
    used = budget_used(attainment, target_ratio)
    price = price_of_a_miss(used, target_ratio)
    state = state._replace(
        rate=rate_after(state.rate, sample.rps), attainment=attainment, period=period_after(state.period, sample.rps)
    )
    need = _need(settings, seen, sample, replica_rps, slo_s, used, state)
    is_asked_for = sample.rps > 0 or sample.concurrency > 0 or seen.is_coming_up
    unmet, state = _levels_after(state, need, replicas, is_asked_for=is_asked_for)
    wanted = _with_starts(replicas, need, unmet, price, state)
    why = ""
    if wanted == replicas:
        wanted, why = _without_idle(replicas, need, price, cold_s, 1.0 - target_ratio, state)
    for level in range(replicas, min(wanted, len(unmet))):
        unmet[level] = 0.0
    reason = (
        f"{replicas} -> {wanted}: {sample.rps:g} rps need {need.now:.2f} replicas of {replica_rps:.4g} rps{why}; "
        f"{100 * attainment.ratio:.1f} % in time over {MEMORY_S / 60:g} min, target {100 * target_ratio:g} %"
    )
    return wanted, reason, state._replace(unmet=tuple(unmet))


def _missed(sample: Sample, ready: int, replica_rps: float, slo_s: float) -> float:
    """Return the requests of that second that missed their objective; where a source cannot know, what was too much."""
    if sample.missed is not None:
        return sample.missed
    if sample.concurrency > ready * replica_rps * slo_s:
        return sample.rps
    return max(0.0, sample.rps - ready * replica_rps)


def _need(
    settings: TargetSettings,
    seen: Observation,
    sample: Sample,
    replica_rps: float,
    slo_s: float,
    used: float,
    state: TargetState,
) -> LoadNeed:
    rate, period, cold_s = state.rate, state.period, state.cold_starts.last_s
    steady = steady_need(
        rate,
        replica_rps=replica_rps,
        wait_s=slo_s - settings.batch / replica_rps,
        miss_ratio=1.0 - settings.target_ratio,
        used=used,
    )
    waiting = need_of_the_waiting(
        rps=sample.rps,
        in_flight=sample.concurrency,
        in_flight_before=state.shown.in_flight,
        ready=seen.ready,
        replica_rps=replica_rps,
        slo_s=slo_s,
        clear_s=cold_s + START_S,
    )
    unsure_rps = SURE * math.sqrt(rate.dispersion * rate.mean_rps / max(1, rate.seconds))
    due = soon = 0.0
    if period.period:
        due = min(expected_rps(period, cold_s, cold_s + period.step_s), default=0.0) / replica_rps
        soon = max(expected_rps(period, 0.0, cold_s + period.step_s), default=0.0) / replica_rps
    return LoadNeed(steady, steady + unsure_rps / replica_rps, max(steady, waiting), waiting > 0, due, soon)


def _levels_after(
    state: TargetState, need: LoadNeed, replicas: int, *, is_asked_for: bool
) -> tuple[list[float], TargetState]:
    """Return each level's unmet load, and the state with each level's idle time and the gaps that have ended."""
    levels = min(max(replicas, math.ceil(max(need.now, need.due))) + 1, replicas + _MAX_STARTS)
    unmet = [*state.unmet, *[0.0] * (levels - len(state.unmet))][:levels]
    idle = [*state.idle_s, *[_NEVER] * (levels - len(state.idle_s))][:levels]
    gaps, last_gaps = state.gaps, state.last_gaps
    for level in range(levels):
        if need.steady > level if level else is_asked_for:
            if 1 < idle[level] < _NEVER:
                if level:
                    gaps = gaps_with(gaps, idle[level])
                else:
                    last_gaps = gaps_with(last_gaps, idle[level])
            idle[level] = 0
        elif need.surely <= level or not level:
            idle[level] += 1
        if level >= replicas:
            more = min(1.0, need.now - level) if need.now > level else -1.0
            unmet[level] = max(0.0, unmet[level] + more)
    return unmet, state._replace(
        idle_s=tuple(idle),
        above_s=state.above_s + 1 if need.now > replicas else 0,
        calm_s=0 if need.waits else state.calm_s + 1,
        gaps=gaps,
        last_gaps=last_gaps,
    )


def _with_starts(replicas: int, need: LoadNeed, unmet: list[float], price: float, state: TargetState) -> int:
    """Return the replicas with those that are worth their start."""
    if replicas == 0:
        replicas = int(state.idle_s[0] == 0 or need.due > 0)
    is_lasting = state.above_s >= REACT_S
    while 0 < replicas < len(unmet):
        is_worth_it = is_lasting or unmet[replicas] * price >= START_S
        if not (need.due > replicas or (need.now > replicas and is_worth_it)):
            break
        replicas += 1
    return replicas


def _without_idle(
    replicas: int, need: LoadNeed, price: float, cold_s: float, miss_ratio: float, state: TargetState
) -> tuple[int, str]:
    """Return the replicas without those that are not worth their time, and why for the reason."""
    idle_s, why = state.idle_s, ""
    if state.calm_s <= REACT_S:
        return replicas, why
    if replicas > 1 and idle_s[replicas - 1] > 1:
        kept_s = keep_s(state.gaps, START_S + cold_s + price * cold_s)
        while replicas > 1 and idle_s[replicas - 1] >= max(2.0, kept_s) and need.soon <= replicas - 1:
            replicas -= 1
            why = f", idle ones are kept {kept_s:g} s"
    if replicas == 1 and idle_s[0] > 1 and not need.soon:
        worth_s = cold_s / miss_ratio
        kept_s = keep_s(state.last_gaps, worth_s)
        if idle_s[0] >= max(2.0, kept_s):
            replicas = 0
            why = f", none for {idle_s[0]} s; the target is given up where requests are over {worth_s:.0f} s apart"
    return replicas, why
