"""What KPA remembers of one function, and the averages it reads from that."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, Aggregation, KpaSpec, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.windows import (
    SlidingMaximum,
    Window,
    average,
    empty_window,
    is_empty,
    record,
    record_one,
    resized,
    weighted_average,
)
from dilu_autoscaler.policy.horizontal.observations import Averages, Observation, quiet_after

TICK_S = 2
"""Knative evaluates at this interval; it is also the step of the scale-down delay."""


Points: TypeAlias = Sequence[tuple[float, float]]
"""(time, value), oldest first."""


class Windows(NamedTuple):
    """The load of one metric over the stable and over the panic window."""

    stable: Window
    panic: Window


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaState:
    """What is remembered between evaluations."""

    panic_since_s: float | None = None
    """Last time the load was over the panic threshold. None: not panicking."""
    panic_peak: int = 0
    """Most replicas wanted since panic began; while it lasts there are never fewer."""
    delay: SlidingMaximum | None = None
    """Highest counts within the scale-down delay. None: there was no delay when the state was made; Knative does not
    notice a later one, nor a new length."""
    aggregation: Aggregation = Aggregation.LINEAR
    """As it was when the state was made; Knative does not notice a later change."""
    quiet_samples: int = 0
    """Newest samples in a row without an arrival and without a request in flight. The count restarts at zero replicas,
    with each waiting request, and when the first replica is ready."""
    was_ready: bool = True
    """Whether any replica was ready when last seen."""
    concurrency: Windows
    rps: Windows
    """Both metrics are recorded always, so that a change of metric finds its history."""


def state_for_ready(spec: KpaSpec, ready: int | None, now_s: float) -> KpaState:
    """Return a first state for that number of ready replicas (None: unknown).

    More than one begins in panic: they were started for a load that this state has not seen, so for a stable window the
    count does not fall.
    """
    peak = ready or 0
    slots = math.ceil(spec.scale_down_delay_s / TICK_S)
    return KpaState(
        panic_since_s=now_s if peak > 1 else None,
        panic_peak=peak,
        delay=SlidingMaximum(slots=slots) if slots else None,
        aggregation=spec.aggregation,
        was_ready=peak > 0,
        concurrency=_windows(spec),
        rps=_windows(spec),
    )


def _windows(spec: KpaSpec) -> Windows:
    return Windows(stable=empty_window(max(1, spec.stable_window_s)), panic=empty_window(spec.panic_window_s))


def recorded(spec: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> KpaState:
    """Return the state with the new samples in its windows, and then with windows of the lengths in the spec.

    In this order, because the samples are from before the change: the loop decides at once after a change of the spec.
    """
    samples, was_ready, quiet = seen.samples, seen.ready > 0, _quiet_samples(seen, state)
    if samples or (was_ready, quiet) != (state.was_ready, state.quiet_samples):
        if len(samples) == 1:  # as nearly always
            t_s = samples[0].t_s
            concurrency = _record_one_in_both(state.concurrency, t_s, samples[0].concurrency)
            rps = _record_one_in_both(state.rps, t_s, samples[0].rps)
        else:
            concurrency = _record_both(state.concurrency, [(sample.t_s, sample.concurrency) for sample in samples])
            rps = _record_both(state.rps, [(sample.t_s, sample.rps) for sample in samples])
        state = KpaState(
            panic_since_s=state.panic_since_s,
            panic_peak=state.panic_peak,
            delay=state.delay,
            aggregation=state.aggregation,
            quiet_samples=quiet,
            was_ready=was_ready,
            concurrency=concurrency,
            rps=rps,
        )
    return with_windows_as_long_as(spec, state, now_s)


def _quiet_samples(seen: Observation, state: KpaState) -> int:
    if seen.desired == 0 or seen.waiting or (seen.ready and not state.was_ready):
        return 0
    return quiet_after(seen.samples, state.quiet_samples)


def with_points(state: KpaState, *, concurrency: Points = (), rps: Points = ()) -> KpaState:
    """Return the state with these `(time, value)` points added to its windows, and nothing else changed."""
    both = _record_both(state.concurrency, concurrency), _record_both(state.rps, rps)
    return replace(state, concurrency=both[0], rps=both[1])


def with_windows_as_long_as(spec: KpaSpec, state: KpaState, now_s: float) -> KpaState:
    """Return the state with windows of the lengths in the spec; the same state if they have them."""
    stable_s, panic_s = max(1, spec.stable_window_s), spec.panic_window_s
    if len(state.rps.stable.buckets) == stable_s and len(state.rps.panic.buckets) == panic_s:
        return state
    concurrency, rps = (
        Windows(stable=resized(windows.stable, stable_s, now_s), panic=resized(windows.panic, panic_s, now_s))
        for windows in (state.concurrency, state.rps)
    )
    return replace(state, concurrency=concurrency, rps=rps)


def _record_both(windows: Windows, points: Points) -> Windows:
    return Windows(stable=record(windows.stable, points), panic=record(windows.panic, points)) if points else windows


def _record_one_in_both(windows: Windows, t_s: float, value: float) -> Windows:
    return Windows(record_one(windows.stable, t_s, value), record_one(windows.panic, t_s, value))


def silence_is_no_load(spec: KpaSpec, state: KpaState, now_s: float) -> bool:
    """Return whether a stable window without a sample means that there was no load.

    With an unlimited burst target Knative scrapes no replica: all reports come from activators, which report only
    requests.
    """
    return spec.target_burst_capacity == UNLIMITED_BURST and is_empty(_windows_of(spec, state).stable, now_s)


def averages_now(spec: KpaSpec, state: KpaState, now_s: float) -> Averages | None:
    """Return the load over both windows; None if nothing is known of the last seconds."""
    windows = _windows_of(spec, state)
    if is_empty(windows.stable, now_s) and spec.target_burst_capacity != UNLIMITED_BURST:
        return None
    mean = average if state.aggregation is Aggregation.LINEAR else weighted_average
    return Averages(stable=mean(windows.stable, now_s), panic=mean(windows.panic, now_s))


def _windows_of(spec: KpaSpec, state: KpaState) -> Windows:
    return state.rps if spec.metric is ScalingMetric.RPS else state.concurrency
