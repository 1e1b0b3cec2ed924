"""Observe, decide, apply: the one loop that a cluster, one machine and a simulated world all run.

The loop has no thread and no timer. Its owner (`driver.LoopDriver`, or the simulator) calls `run_due()` at
`next_due_s()` and after a `poke`, and everything happens inside that call:

    loop = ScaleLoop(clock=clock, metrics=gateway, actuator=supervisor)
    loop.add(scale_spec_for(function))
    while True:
        wait(until_s=loop.next_due_s(), or_poked=...)
        loop.run_due()

It is not thread-safe: one owner makes all calls. `poke` may also be called from within `observe` and `apply`.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from dataclasses import dataclass, replace
from typing import Final

from dilu_autoscaler.anti_flap import steady
from dilu_autoscaler.policy.horizontal import (
    Decision,
    Observation,
    Sample,
    ScaleSpec,
    bounded,
)
from dilu_autoscaler.ports import Actuator, Clock, MetricsSource

NO_DATA_RETRY_S: Final = 1.0
FIRST_FAILURE_RETRY_S: Final = 1.0
MAX_FAILURE_RETRY_S: Final = 15.0
MIN_INTERVAL_S: Final = 0.01
"""Between two ticks of a function without a poke: a policy or a source that always answers "now" must not spin."""
CLOCK_STEP_BACK_S: Final = 2.0
"""A clock set back by more than this makes every function start afresh, as after a restart."""
MAX_UNDECIDED: Final = 3600
"""Samples that are kept for the next decision when one fails: no policy reads further back than an hour."""
MAX_POLICY_TRIES: Final = 3
"""After this many failures in a row of the policy its samples are dropped: one that it cannot read must not stop it."""

_POKED: Final = -math.inf
"""A due time before every other, whatever the clock says."""
_NOTHING_APPLIED: Final = Decision(replicas=None, reason="")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """One decision with what it was made from: the answer to "why this number of replicas?"."""

    function: str
    now_s: float
    seen: Observation | None
    """With the samples that earlier failed ticks could not decide on. None: the source knew nothing, or failed."""
    decision: Decision
    applied: bool = False
    """The count was new, and the actuator recorded it."""
    failed: bool = False
    """A port or the policy raised; the decision is to hold, and its reason names the error."""


@dataclass(slots=True, kw_only=True)
class _Scaled:
    """One function in the loop."""

    spec: ScaleSpec
    state: object | None = None
    """The policy's. None until the first observation."""
    due_s: float | None = None
    """When to tick next. None: not until a poke."""
    failures: int = 0
    """In a row."""
    undecided: tuple[Sample, ...] = ()
    """Samples that were observed and not decided on, because the policy or the actuator raised."""
    applied: Decision = _NOTHING_APPLIED
    """The last decision that the actuator recorded."""
    raised_s: float | None = None
    """When its count was last raised. None: never."""
    last: Tick | None = None


class ScaleLoop:
    """Scales functions: each one is observed, decided on and applied when it is due, and never before."""

    def __init__(self, *, clock: Clock, metrics: MetricsSource, actuator: Actuator) -> None:
        self._clock = clock
        self._metrics = metrics
        self._actuator = actuator
        self._functions: dict[str, _Scaled] = {}
        # (due, order of scheduling, function); an entry whose due time is not the function's own any more is stale.
        self._schedule: list[tuple[float, int, _Scaled]] = []
        self._order = itertools.count()
        self._last_now_s = -math.inf

    def add(self, spec: ScaleSpec) -> None:
        """Scale one more function, from the next `run_due` on. Raises ValueError for one that is in the loop."""
        if spec.name in self._functions:
            raise ValueError(f"function {spec.name!r} is in the loop already; update it, or remove it first")
        self._functions[spec.name] = scaled = _Scaled(spec=spec)
        self._make_due(scaled, _POKED)

    def update(self, spec: ScaleSpec) -> None:
        """Change a function's settings and make it due. Its policy's state stays, unless the policy is another one."""
        scaled = self._functions.get(spec.name)
        if scaled is None:
            raise ValueError(f"function {spec.name!r} is not in the loop; add it first")
        if spec.policy != scaled.spec.policy:
            scaled.state = None
        scaled.spec = spec
        self._make_due(scaled, _POKED)

    def remove(self, function: str) -> None:
        """Stop scaling a function; its replicas are left to the caller. Unknown names are ignored."""
        scaled = self._functions.pop(function, None)
        if scaled is not None:
            scaled.due_s = None

    def poke(self, function: str) -> None:
        """Make a function due now: a first request came, a replica became ready or died.

        Unknown names are ignored, because a poke may cross a removal. A function whose last tick failed keeps its
        retry time, so that thousands of requests that poke do not run a broken policy thousands of times.
        """
        scaled = self._functions.get(function)
        if scaled is not None and not scaled.failures:
            self._make_due(scaled, _POKED)

    def next_due_s(self) -> float | None:
        """Return when `run_due` next has something to do; at the latest now if it has already. None: after a poke."""
        self._drop_stale()
        if not self._schedule:
            return None
        due_s = self._schedule[0][0]
        return self._clock.now_s() if due_s == _POKED else due_s

    def run_due(self) -> list[Tick]:
        """Tick every function that is due, the longest due first. One poked meanwhile is left to the next call."""
        now_s = self._clock.now_s()
        if now_s < self._last_now_s - CLOCK_STEP_BACK_S:
            self._start_afresh(now_s)
        self._last_now_s = max(self._last_now_s, now_s)
        return [self._tick(scaled, now_s) for scaled in self._take_due(now_s) if self._has(scaled)]

    def last_tick(self, function: str) -> Tick | None:
        """Return the last decision on a function and what it was made from. None: no decision, or no such function."""
        scaled = self._functions.get(function)
        return None if scaled is None else scaled.last

    def _has(self, scaled: _Scaled) -> bool:
        return self._functions.get(scaled.spec.name) is scaled

    def _make_due(self, scaled: _Scaled, due_s: float) -> None:
        if scaled.due_s is None or due_s < scaled.due_s:
            scaled.due_s = due_s
            heapq.heappush(self._schedule, (due_s, next(self._order), scaled))

    def _drop_stale(self) -> None:
        while self._schedule and self._schedule[0][0] != self._schedule[0][2].due_s:
            heapq.heappop(self._schedule)

    def _take_due(self, now_s: float) -> list[_Scaled]:
        due = []
        self._drop_stale()
        while self._schedule and self._schedule[0][0] <= now_s:
            scaled = heapq.heappop(self._schedule)[2]
            scaled.due_s = None
            due.append(scaled)
            self._drop_stale()
        return due

    def _start_afresh(self, now_s: float) -> None:
        """Forget what is stamped with times that will come a second time, as after a restart."""
        _log.warning("the clock went back by %.1f s: every function starts afresh", self._last_now_s - now_s)
        self._last_now_s = now_s
        for scaled in self._functions.values():
            scaled.state = scaled.raised_s = None
            scaled.undecided = ()
            self._make_due(scaled, _POKED)

    def _tick(self, scaled: _Scaled, now_s: float) -> Tick:
        seen = None
        try:
            seen = self._observe(scaled, now_s)
            tick = _no_data(scaled, now_s) if seen is None else self._decide_and_apply(scaled, seen, now_s)
            scaled.failures = 0
        except Exception as error:  # one function's broken policy or source must not stop the others
            scaled.failures += 1
            tick = _failed(scaled, seen, error, now_s)
        scaled.last = tick
        due_s = _due_s(tick)
        if due_s is not None and self._has(scaled):
            self._make_due(scaled, due_s)
        return tick

    def _observe(self, scaled: _Scaled, now_s: float) -> Observation | None:
        """Return what happened since the last decision, which is longer ago than the last call if that one failed."""
        seen = self._metrics.observe(scaled.spec.name, now_s)
        if seen is None:
            return None
        if scaled.undecided:
            seen = replace(seen, samples=(*scaled.undecided, *seen.samples)[-MAX_UNDECIDED:])
        scaled.undecided = seen.samples
        return seen

    def _decide_and_apply(self, scaled: _Scaled, seen: Observation, now_s: float) -> Tick:
        spec = scaled.spec
        try:
            state = spec.policy.initial_state(spec.settings, seen, now_s) if scaled.state is None else scaled.state
            decided, state_after = spec.policy.decide(spec.settings, seen, state, now_s)
        except Exception:
            if scaled.failures + 1 >= MAX_POLICY_TRIES:
                scaled.undecided = ()
            raise
        steadied = steady(decided, seen, raised_s=scaled.raised_s, now_s=now_s)
        decision = bounded(steadied, spec.bounds, desired=seen.desired)
        wanted = seen.desired if decision.replicas is None else decision.replicas
        is_new = wanted != seen.desired
        if is_new or _has_news(decision, scaled.applied):
            self._actuator.apply(spec.name, decision)
            scaled.applied = decision
        if is_new:
            _log.info("fn=%s %d->%d reason=%s", spec.name, seen.desired, wanted, decision.reason)
        if wanted > seen.desired:
            scaled.raised_s = now_s
        # Only now: had the actuator raised, or is the decision held, the policy has to decide the same again.
        scaled.state = state_after if steadied is decided else state
        scaled.undecided = ()
        return Tick(function=spec.name, now_s=now_s, seen=seen, decision=decision, applied=is_new)


def _has_news(decision: Decision, applied: Decision) -> bool:
    """Return whether a decision has to be recorded though its count may be the desired one already."""
    excess = decision.excess_burst_capacity
    return (
        (decision.replicas is not None and applied.replicas is None)
        or (excess is not None and excess != applied.excess_burst_capacity)
        or decision.may_give_up != applied.may_give_up
    )


def _no_data(scaled: _Scaled, now_s: float) -> Tick:
    decision = Decision(
        replicas=None, reason="hold: no data on its load or its replicas", next_change_s=now_s + NO_DATA_RETRY_S
    )
    return Tick(function=scaled.spec.name, now_s=now_s, seen=None, decision=decision)


def _failed(scaled: _Scaled, seen: Observation | None, error: Exception, now_s: float) -> Tick:
    """Return the tick of a function whose port or policy raised: it holds, and is tried again after a growing wait."""
    wait_s = min(FIRST_FAILURE_RETRY_S * 2.0 ** min(scaled.failures - 1, 10), MAX_FAILURE_RETRY_S)
    reason = f"hold: failed with {type(error).__name__}: {error}; retry {scaled.failures} in {wait_s:g} s"
    # The traceback once; after that a line each time.
    _log.error("fn=%s %s", scaled.spec.name, reason, exc_info=error if scaled.failures == 1 else None)
    decision = Decision(replicas=None, reason=reason, next_change_s=now_s + wait_s)
    return Tick(function=scaled.spec.name, now_s=now_s, seen=seen, decision=decision, failed=True)


def _due_s(tick: Tick) -> float | None:
    """Return when to tick again: at the next sample or the next possible change, whichever is first."""
    next_sample_s = None if tick.seen is None or tick.failed else tick.seen.next_sample_s
    soonest_s, due_s = tick.now_s + MIN_INTERVAL_S, None
    for time_s in (next_sample_s, tick.decision.next_change_s):  # no list: every tick runs this
        if time_s is not None:
            at_s = max(soonest_s, time_s)  # in this order it also keeps a NaN out of the schedule
            due_s = at_s if due_s is None else min(due_s, at_s)
    return due_s
