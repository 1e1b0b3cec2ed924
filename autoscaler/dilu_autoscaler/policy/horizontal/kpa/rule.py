"""Knative's pod autoscaler: the mean load of a minute, and of a few seconds where it surges, over a target.

A surge (the need over the panic window is `panic_threshold_ratio` times the ready replicas) starts *panic*: until the
surge has been over for a whole stable window, the count only goes up. Every number comes out as in Knative, bit for
bit; what Knative does around it (bounds, activation, scale to zero in two phases) is not decided here.

`evaluate` is Knative's, which runs it every two seconds on the values of each second. `decide` runs whenever something
happened, so it adds what keeps a tick between two seconds, or while the first replica loads, from scaling down.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import MAX_COUNT, excess_burst_capacity
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.state import (
    TICK_S,
    KpaState,
    averages_now,
    recorded,
    silence_is_no_load,
    state_for_ready,
)
from dilu_autoscaler.policy.horizontal.kpa.windows import SlidingMaximum, record_maximum
from dilu_autoscaler.policy.horizontal.observations import Averages, Decision, Observation

_NS_PER_S = 1_000_000_000


def initial_state(spec: KpaSpec, seen: Observation, now_s: float) -> KpaState:
    """Return the state of a function that is observed for the first time."""
    return state_for_ready(spec, seen.ready, now_s)


def decide(spec: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> tuple[Decision, KpaState]:
    """Decide on what was seen since the last call.

    The count is at least what the waiting requests need. It falls only with a new sample, and to zero only after a
    stable window of quiet ones, which begins when the first replica is ready.
    """
    state = recorded(spec, seen, state, now_s)
    averages = averages_now(spec, state, now_s)
    if seen.waiting:
        averages = (averages or Averages(stable=0.0, panic=0.0)).at_least(seen.waiting)
    decision, after = evaluate(spec, averages, seen.ready, state, now_s)
    return _with_reason_to_go_down(spec, seen, decision, after, now_s), after


def _with_reason_to_go_down(
    spec: KpaSpec, seen: Observation, decision: Decision, state: KpaState, now_s: float
) -> Decision:
    """Return the decision, or one that keeps more replicas if no sample allows the lower count."""
    silent = silence_is_no_load(spec, state, now_s)
    missing = 0 if silent or not spec.reachable else max(0, spec.stable_window_s - state.quiet_samples)
    if decision.replicas is None:
        return replace(decision, next_change_s=_next_down_s(spec, seen, seen.desired, missing, now_s))
    if decision.replicas < seen.desired and not seen.samples and not silent:
        next_change_s = _next_down_s(spec, seen, seen.desired, missing, now_s)
        return replace(decision, replicas=None, reason="hold: no new sample", next_change_s=next_change_s)
    keeps_last = missing > 0 or (seen.is_coming_up and spec.reachable)
    if decision.replicas == 0 and seen.desired > 0 and keeps_last:
        why = "no replica is ready yet" if seen.is_coming_up else f"{missing} more quiet samples to zero"
        next_change_s = _next_down_s(spec, seen, 1, missing, now_s)
        return replace(decision, replicas=1, reason=f"{decision.reason}; 1 kept: {why}", next_change_s=next_change_s)
    return decision


def _next_down_s(spec: KpaSpec, seen: Observation, replicas: int, missing: int, now_s: float) -> float | None:
    """Return when quiet seconds alone can lower that count. None: they cannot."""
    if replicas == 0 or (replicas == 1 and seen.is_coming_up and spec.reachable):
        return None
    return float(math.floor(now_s) + (max(1, missing) if replicas == 1 else 1))


def evaluate(
    spec: KpaSpec, averages: Averages | None, ready: int | None, state: KpaState, now_s: float
) -> tuple[Decision, KpaState]:
    """Decide on the averages (None: no data) and the ready replicas (None: unknown).

    Without one of them the count is held and the state stays as it is: no data is not zero load.
    """
    if averages is None:
        return _held(f"hold: no data for more than {spec.stable_window_s} s", state), state
    if ready is None:
        return _held("hold: the number of ready replicas is unknown", state), state
    need = _need(spec, averages, ready)
    panic_since_s, peak = _panic(spec, need, state, now_s)
    wanted = need.stable
    if panic_since_s is not None:
        wanted = peak = max(need.stable, need.panic, peak)
    delay, replicas = state.delay, wanted
    if spec.reachable and delay is not None:
        delay = record_maximum(delay, math.floor(now_s) // TICK_S, wanted)
        replicas = delay.current
    after = _with(state, panic_since_s, peak, delay)
    decision = Decision(
        replicas=replicas,
        reason=_reason(spec, averages, need, after, wanted=wanted, replicas=replicas),
        next_change_s=_next_change_s(averages, replicas, now_s),
        excess_burst_capacity=excess_burst_capacity(spec, ready=ready, panic=averages.panic),
        panicking=panic_since_s is not None,
        stable=averages.stable,
        panic=averages.panic,
    )
    return decision, after


def _held(reason: str, state: KpaState) -> Decision:
    return Decision(replicas=None, reason=reason, panicking=state.panic_since_s is not None)


class _Need(NamedTuple):
    """Replicas that the load needs, before and after the limits on one step."""

    raw: int
    stable: int
    panic: int
    surges: bool
    """The need over the panic window reaches the panic threshold: panic begins or continues."""


def _need(spec: KpaSpec, averages: Averages, ready: int) -> _Need:
    counted = max(1, ready)
    maximum = math.ceil(min(spec.max_scale_up_rate * counted, MAX_COUNT))
    minimum = math.floor(counted / spec.max_scale_down_rate) if spec.reachable else 0
    stable = math.ceil(averages.stable / spec.target)
    panic = math.ceil(averages.panic / spec.target)
    return _Need(
        raw=stable,
        stable=_activated(spec, stable, min(max(stable, minimum), maximum)),
        panic=_activated(spec, panic, min(max(panic, minimum), maximum)),
        surges=panic / counted >= spec.panic_threshold_ratio,
    )


def _activated(spec: KpaSpec, need: int, limited: int) -> int:
    return max(limited, spec.activation_scale) if need > 0 and spec.activation_scale > 1 else limited


def _panic(spec: KpaSpec, need: _Need, state: KpaState, now_s: float) -> tuple[float | None, int]:
    """Return since when there is panic (None: there is none), and its peak so far.

    | was panicking | surges | the last surge is over a stable window ago | then                 |
    |---------------|--------|---------------------------------------------|----------------------|
    | any           | yes    | any                                         | panic, time restarts |
    | yes           | no     | no                                          | panic continues      |
    | yes           | no     | yes                                         | over, peak forgotten |
    | no            | no     | -                                           | none                 |
    """
    if need.surges:
        return now_s, state.panic_peak
    if state.panic_since_s is None:
        return None, state.panic_peak
    # Whole nanoseconds as in Knative: 72.3 - 12.3 is not more than 60 there.
    calm_ns = round((now_s - state.panic_since_s) * _NS_PER_S)
    return (None, 0) if calm_ns > spec.stable_window_s * _NS_PER_S else (state.panic_since_s, state.panic_peak)


def _with(state: KpaState, panic_since_s: float | None, peak: int, delay: SlidingMaximum | None) -> KpaState:
    if panic_since_s == state.panic_since_s and peak == state.panic_peak and delay is state.delay:
        return state
    return KpaState(
        panic_since_s=panic_since_s,
        panic_peak=peak,
        delay=delay,
        aggregation=state.aggregation,
        quiet_samples=state.quiet_samples,
        was_ready=state.was_ready,
        concurrency=state.concurrency,
        rps=state.rps,
    )


def _next_change_s(averages: Averages, replicas: int, now_s: float) -> float | None:
    """Return Knative's next tick; None once the windows have no load and the count is zero: only load changes that."""
    at_rest = replicas == 0 and averages.stable == 0 and averages.panic == 0
    return None if at_rest else now_s + TICK_S


def _reason(spec: KpaSpec, averages: Averages, need: _Need, after: KpaState, *, wanted: int, replicas: int) -> str:
    unit = "rps" if spec.metric is ScalingMetric.RPS else "in flight"
    text = (
        f"{need.raw} for {averages.stable:.2f} {unit} over {spec.stable_window_s} s at {spec.target:g} per replica"
        f" ({averages.panic:.2f} over {spec.panic_window_s} s)"
    )
    if need.stable != need.raw:
        text += f"; {need.stable} by the limit of one step"
    if after.panic_since_s is not None:
        text += f"; panic: {wanted}, no scale-down"
    if replicas != wanted:
        text += f"; {replicas} kept: scale-down delay {spec.scale_down_delay_s} s"
    return text
