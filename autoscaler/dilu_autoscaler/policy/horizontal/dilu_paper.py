"""The paper's lazy horizontal rule: 40 samples of one second, out at 20, in at more than 30, one replica at a time.

It leaves short bursts to vertical scaling, so it scales out only when the load stayed above the throughput of all
replicas, and in only when it stayed below the throughput of one replica fewer. The paper keeps one replica; here that
is `min_replicas`, and with 0 the last one is removed after 40 samples without demand and started again at the first
demand. The 40 begin when the first replica is ready, however long it loads; a replica that fails to start is removed
after 40 samples without a request.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal.demand import UNKNOWN_THROUGHPUT
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation, quiet_after

WINDOW_SAMPLES = 40
OUT_SAMPLES = 20
IN_SAMPLES = 31
"""The paper says "more than 30"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiluPaperSpec:
    """One function's settings."""

    rps_limit: float | None = None
    """Throughput of one replica at its SM limit. None: as learned, see `Observation.learned_rps`."""
    min_replicas: int = 0
    max_replicas: int | None = None
    """None: unbounded."""

    def __post_init__(self) -> None:
        if self.rps_limit is not None and not self.rps_limit > 0:
            raise ConfigError(f"rps-limit = {self.rps_limit}, must be > 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiluPaperState:
    """The samples since the number of replicas last changed."""

    replicas: int
    """The count during the history; a history under another count is dropped."""
    history_rps: tuple[float, ...] = ()
    """At most WINDOW_SAMPLES, oldest first."""
    quiet_samples: int = 0
    """Newest samples in a row without an arrival and without a request in flight. The count restarts with each waiting
    request, and when the first replica is ready."""
    complete_s: float | None = None
    """When the newest sample was complete. None: no sample yet."""
    was_ready: bool = True
    """Whether any replica was ready when last seen."""


def dilu_paper_spec_for(function: FunctionSpec) -> DiluPaperSpec:
    """Return the rule's settings for a function."""
    return DiluPaperSpec(rps_limit=function.rps_limit, min_replicas=function.min_scale, max_replicas=function.max_scale)


def initial_state(spec: DiluPaperSpec, seen: Observation, now_s: float) -> DiluPaperState:
    """Return the state of a function that is observed for the first time."""
    return DiluPaperState(replicas=seen.desired, was_ready=seen.ready > 0)


def decide(
    spec: DiluPaperSpec, seen: Observation, state: DiluPaperState, now_s: float
) -> tuple[Decision, DiluPaperState]:
    """Decide on the present count, or one replica more or fewer, by the samples since the last call."""
    state = _recorded(seen, state)
    if seen.desired == 0:
        return _from_zero(spec, seen, state, now_s)
    tally = _tally(state, spec.rps_limit or seen.learned_rps or None)
    to_less = _quiet_samples_to_less(spec, state, tally, is_coming_up=seen.is_coming_up)
    if seen.samples and to_less == 0:
        return _changed(spec, seen, state, state.replicas - 1, _reason_for_less(state, tally), now_s)
    if seen.samples and tally.above >= OUT_SAMPLES and not _at_most(spec, state):
        return _changed(spec, seen, state, state.replicas + 1, f"out: {tally.above_text()}, limit {OUT_SAMPLES}", now_s)
    next_change_s = _after_samples(state, to_less, now_s)
    if not seen.samples:
        return Decision(replicas=None, reason="hold: no new sample", next_change_s=next_change_s), state
    if seen.is_coming_up and state.quiet_samples >= WINDOW_SAMPLES:
        reason = f"starting: no replica is ready yet, so {state.quiet_samples} samples without demand do not count"
        return Decision(replicas=state.replicas, reason=reason, next_change_s=next_change_s), state
    if tally.limit_rps is None:
        return Decision(replicas=None, reason=UNKNOWN_THROUGHPUT, next_change_s=next_change_s), state
    reason = _reason_to_stay(spec, state, tally)
    return Decision(replicas=state.replicas, reason=reason, next_change_s=next_change_s), state


def _from_zero(
    spec: DiluPaperSpec, seen: Observation, state: DiluPaperState, now_s: float
) -> tuple[Decision, DiluPaperState]:
    with_demand = sum([sample.rps > 0 or sample.concurrency > 0 for sample in seen.samples])
    if seen.waiting:
        return _changed(spec, seen, state, 1, f"from zero: {seen.waiting} waiting", now_s)
    if with_demand:
        reason = f"from zero: {with_demand} of {len(seen.samples)} new samples with demand"
        return _changed(spec, seen, state, 1, reason, now_s)
    return Decision(replicas=0, reason="zero: no demand"), state


def _changed(
    spec: DiluPaperSpec, seen: Observation, state: DiluPaperState, replicas: int, reason: str, now_s: float
) -> tuple[Decision, DiluPaperState]:
    """Return the decision to change, with the history cleared: the next decision is about the new count alone."""
    fresh = DiluPaperState(replicas=replicas, complete_s=state.complete_s, was_ready=state.was_ready)
    to_less = _quiet_samples_to_less(spec, fresh, _tally(fresh, None), is_coming_up=seen.is_coming_up)
    return Decision(replicas=replicas, reason=reason, next_change_s=_after_samples(fresh, to_less, now_s)), fresh


def _recorded(seen: Observation, state: DiluPaperState) -> DiluPaperState:
    if state.replicas != seen.desired:  # changed from outside: the history is about another count
        state = DiluPaperState(replicas=seen.desired, was_ready=state.was_ready)
    restarts = seen.waiting or (seen.ready and not state.was_ready)
    quiet = 0 if restarts else quiet_after(seen.samples, state.quiet_samples)
    return DiluPaperState(
        replicas=state.replicas,
        history_rps=(*state.history_rps, *[sample.rps for sample in seen.samples])[-WINDOW_SAMPLES:],
        quiet_samples=quiet,
        complete_s=seen.samples[-1].t_s + 1 if seen.samples else state.complete_s,
        was_ready=seen.ready > 0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tally:
    """The history against the throughput of all replicas, and of one fewer."""

    replicas: int
    samples: int
    limit_rps: float | None
    fewer_rps: float
    above: int
    below: int

    def above_text(self) -> str:
        return f"{self.above} of the last {self.samples} samples above {self.replicas} x {self.limit_rps:.1f} rps"

    def below_text(self) -> str:
        fewer = "all empty" if self.limit_rps is None else f"below {self.replicas - 1} x {self.limit_rps:.1f} rps"
        return f"{self.below} of the last {self.samples} samples {fewer}"


def _tally(state: DiluPaperState, limit_rps: float | None) -> _Tally:
    """Count the samples above and below. With an unknown throughput none is above, and only an empty one is below."""
    all_rps, fewer_rps = math.inf, math.ulp(0.0)
    if limit_rps is not None:
        all_rps, fewer_rps = state.replicas * limit_rps, (state.replicas - 1) * limit_rps
    return _Tally(
        replicas=state.replicas,
        samples=len(state.history_rps),
        limit_rps=limit_rps,
        fewer_rps=fewer_rps,
        above=sum([rps > all_rps for rps in state.history_rps]),
        below=sum([rps < fewer_rps for rps in state.history_rps]),
    )


def _quiet_samples_to_less(
    spec: DiluPaperSpec, state: DiluPaperState, tally: _Tally, *, is_coming_up: bool
) -> int | None:
    """Return how many more quiet samples it takes until one replica is removed; 0: now. None: they never do."""
    if state.replicas <= spec.min_replicas:
        return None
    if state.replicas == 1:
        return None if is_coming_up else max(0, WINDOW_SAMPLES - state.quiet_samples)
    missing, room = IN_SAMPLES - tally.below, WINDOW_SAMPLES - tally.samples
    if missing <= room:
        return max(0, missing)
    # From then on each new sample pushes the oldest out, which is a gain only if that one was not below.
    for pushed_out, rps in enumerate(state.history_rps, start=1):
        missing -= rps >= tally.fewer_rps
        if missing <= room:
            return room + pushed_out
    return WINDOW_SAMPLES


def _after_samples(state: DiluPaperState, samples: int | None, now_s: float) -> float | None:
    """Return when that number of further samples is complete. None: never.

    They follow the newest sample, or start at the present whole second if that one is older than a second.
    """
    if samples is None:
        return None
    complete_s = state.complete_s
    if complete_s is None or not now_s - 1 < complete_s <= now_s:
        complete_s = math.floor(now_s)
    return complete_s + max(1, samples)


def _at_most(spec: DiluPaperSpec, state: DiluPaperState) -> bool:
    return spec.max_replicas is not None and state.replicas >= spec.max_replicas


def _reason_for_less(state: DiluPaperState, tally: _Tally) -> str:
    if state.replicas == 1:
        return f"to zero: no demand in the last {state.quiet_samples} samples, limit {WINDOW_SAMPLES}"
    return f"in: {tally.below_text()}, limit {IN_SAMPLES}"


def _reason_to_stay(spec: DiluPaperSpec, state: DiluPaperState, tally: _Tally) -> str:
    if tally.above >= OUT_SAMPLES:
        return f"at max-scale {spec.max_replicas}: {tally.above_text()}"
    if state.replicas == 1:
        return f"steady: {tally.above_text()}; the last {state.quiet_samples} without demand"
    return f"steady: {tally.above_text()}; {tally.below_text()}"
