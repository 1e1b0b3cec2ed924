"""What holds for every policy, whatever the load: bounds, monotony, no data, replay."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    AnyPolicy,
    Bounds,
    Decision,
    Observation,
    Sample,
    bounded,
)
from dilu_autoscaler.policy.horizontal.dilu.rule import CoscaleState
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_autoscaler.policy.horizontal.dilu_paper import DiluPaperSpec, DiluPaperState
from dilu_autoscaler.policy.horizontal.dilu_target.rule import TargetState
from dilu_autoscaler.policy.horizontal.dilu_target.settings import TargetSettings
from dilu_autoscaler.policy.horizontal.eager import EagerSpec, EagerState
from dilu_autoscaler.policy.horizontal.hpa import HpaSpec, HpaState
from dilu_autoscaler.policy.horizontal.infless import InflessSpec, InflessState
from dilu_autoscaler.policy.horizontal.kpa.settings import Aggregation, KpaSpec, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.state import KpaState
from dilu_autoscaler.policy.horizontal.ray_serve import RayServeSpec, RayServeState

STATE_TYPES: dict[str, type] = {
    "dilu": CoscaleState,
    "dilu-paper": DiluPaperState,
    "dilu-target": TargetState,
    "eager": EagerState,
    "hpa": HpaState,
    "infless": InflessState,
    "kpa": KpaState,
    "ray-serve": RayServeState,
}

loads = st.one_of(st.just(0.0), st.floats(min_value=0.0, max_value=1e6, allow_nan=False))
kpa_specs = st.builds(
    KpaSpec,
    target=st.floats(min_value=0.01, max_value=500),
    total=st.floats(min_value=0, max_value=500),
    target_burst_capacity=st.sampled_from([-1.0, 0.0, 7.5, 211.0]),
    stable_window_s=st.integers(min_value=6, max_value=90),
    panic_window_s=st.integers(min_value=1, max_value=6),
    max_scale_up_rate=st.sampled_from([1.1, 2.0, 10.0, 1000.0]),
    max_scale_down_rate=st.sampled_from([1.1, 2.0, 10.0]),
    activation_scale=st.integers(min_value=0, max_value=4),
    scale_down_delay_s=st.sampled_from([0, 1, 30]),
    reachable=st.booleans(),
    metric=st.sampled_from(ScalingMetric),
    aggregation=st.sampled_from(Aggregation),
)
dilu_paper_specs = st.builds(
    DiluPaperSpec,
    rps_limit=st.one_of(st.none(), st.floats(min_value=0.1, max_value=1000)),
    min_replicas=st.integers(min_value=0, max_value=2),
    max_replicas=st.one_of(st.none(), st.integers(min_value=2, max_value=5)),
)
limits = st.one_of(st.none(), st.floats(min_value=0.1, max_value=1000))
SPECS: dict[str, st.SearchStrategy[Any]] = {
    "dilu-target": st.builds(
        TargetSettings,
        target_ratio=st.sampled_from([0.5, 0.98, 0.999]),
        rps_limit=limits,
        slo_s=st.sampled_from([None, 0.25]),
        batch=st.sampled_from([1, 8]),
        bounds=st.sampled_from([Bounds(), Bounds(min_replicas=2), Bounds(max_replicas=5)]),
    ),
    "dilu": st.builds(
        CoscaleSpec,
        rps_limit=limits,
        slo_s=st.sampled_from([None, 0.25]),
        bounds=st.sampled_from([Bounds(), Bounds(min_replicas=2), Bounds(max_replicas=5)]),
        rps_request=st.sampled_from([None, 20.0]),
        keeps_budget=st.booleans(),
        leads=st.booleans(),
        right_number=st.booleans(),
        learns_gaps=st.booleans(),
        forecasts=st.booleans(),
        counts_starting=st.booleans(),
    ),
    "dilu-paper": dilu_paper_specs,
    "eager": st.builds(EagerSpec, rps_limit=limits, keep_alive_s=st.integers(min_value=1, max_value=60)),
    "hpa": st.builds(HpaSpec, rps_limit=limits, sync_s=st.integers(min_value=1, max_value=15)),
    "infless": st.builds(
        InflessSpec, rps_limit=limits, batch=st.integers(min_value=1, max_value=8), slo_s=st.sampled_from([None, 0.25])
    ),
    "kpa": kpa_specs,
    "ray-serve": st.builds(
        RayServeSpec,
        upscale_delay_s=st.integers(min_value=0, max_value=30),
        downscale_delay_s=st.integers(min_value=1, max_value=600),
    ),
}


@st.composite
def histories(draw: st.DrawFn) -> list[Observation]:
    """Observations one after the other: bursts, lulls, seconds left out, replicas that come and go on their own."""
    second, seen = draw(st.integers(min_value=0, max_value=2_000_000_000)), []
    for _ in range(draw(st.integers(min_value=1, max_value=12))):
        second += draw(st.sampled_from([0, 0, 0, 1, 30, 100]))
        rps, repeats = draw(loads), draw(st.integers(min_value=0, max_value=25))
        samples = tuple(Sample(t_s=float(second + i), concurrency=rps / 8, rps=rps) for i in range(repeats))
        second += repeats
        ready, starting = draw(st.sampled_from([0, 0, 1, 7, 20])), draw(st.sampled_from([0, 1]))
        desired = draw(st.sampled_from([ready, ready + 1]))
        learned_rps = draw(st.sampled_from([None, 40.0]))
        waiting = draw(st.sampled_from([0, 0, 5]))
        seen.append(
            Observation(
                samples=samples,
                ready=ready,
                starting=starting,
                desired=desired,
                learned_rps=learned_rps,
                waiting=waiting,
            )
        )
    return seen


def end_s(seen: Observation, otherwise_s: float) -> float:
    return seen.samples[-1].t_s + 1.25 if seen.samples else otherwise_s


def run(policy: AnyPolicy, spec: Any, history: list[Observation]) -> tuple[list[Decision], Any, float]:
    now_s = history[0].samples[0].t_s if history[0].samples else 0.0
    state, decisions = policy.initial_state(spec, history[0], now_s), []
    for seen in history:
        now_s = end_s(seen, now_s)
        decision, state = policy.decide(spec, seen, state, now_s)
        decisions.append(decision)
    return decisions, state, now_s


policies = pytest.mark.parametrize("name", sorted(POLICIES))


@policies
@given(data=st.data())
def test_the_number_is_never_below_zero_and_never_out_of_the_bounds(name: str, data: st.DataObject) -> None:
    history = data.draw(histories())
    bounds = data.draw(
        st.builds(
            Bounds,
            min_replicas=st.integers(min_value=0, max_value=3),
            max_replicas=st.one_of(st.none(), st.integers(min_value=3, max_value=6)),
        )
    )
    decisions, _, _ = run(POLICIES[name], data.draw(SPECS[name]), history)
    for decision, seen in zip(decisions, history, strict=True):
        assert decision.replicas is None or decision.replicas >= 0
        allowed = bounded(decision, bounds, desired=seen.desired)
        result = seen.desired if allowed.replicas is None else allowed.replicas
        assert result >= bounds.min_replicas
        assert bounds.max_replicas is None or result <= bounds.max_replicas


@policies
@given(data=st.data(), factor=st.floats(min_value=1.0, max_value=100.0), more=st.floats(min_value=0.0, max_value=1e4))
def test_more_load_in_the_same_state_never_means_fewer_replicas(
    name: str, data: st.DataObject, factor: float, more: float
) -> None:
    policy, spec, history = POLICIES[name], data.draw(SPECS[name]), data.draw(histories())
    *before, last = history
    if before:
        _, state, now_s = run(policy, spec, before)
    else:
        state, now_s = policy.initial_state(spec, last, 0.0), 0.0
    busier = replace(last, samples=tuple(raised(sample, factor, more) for sample in last.samples))
    now_s = end_s(last, now_s)
    decision, _ = policy.decide(spec, last, state, now_s)
    with_more, _ = policy.decide(spec, busier, state, now_s)
    assert wanted(with_more, last) >= wanted(decision, last)


def raised(sample: Sample, factor: float, more: float) -> Sample:
    return replace(sample, concurrency=sample.concurrency * factor + more, rps=sample.rps * factor + more)


def wanted(decision: Decision, seen: Observation) -> int:
    return seen.desired if decision.replicas is None else decision.replicas


@policies
@given(data=st.data(), silent_s=st.floats(min_value=0.0, max_value=100_000.0))
def test_no_data_never_scales_down(name: str, data: st.DataObject, silent_s: int) -> None:
    policy, spec, history = POLICIES[name], data.draw(SPECS[name]), data.draw(histories())
    if isinstance(spec, KpaSpec):  # an unlimited burst target is the case in which silence does mean no load
        spec = replace(spec, target_burst_capacity=211.0)
    _, state, now_s = run(policy, spec, history)
    blind = replace(history[-1], samples=(), waiting=0)
    for later_s in (silent_s, silent_s + 1, 2 * silent_s):
        decision, state = policy.decide(spec, blind, state, now_s + later_s)
        assert wanted(decision, blind) >= blind.desired


@policies
@given(data=st.data(), quiet=st.integers(min_value=0, max_value=500))
def test_nothing_goes_to_zero_while_its_first_replica_is_starting(name: str, data: st.DataObject, quiet: int) -> None:
    policy, spec, history = POLICIES[name], data.draw(SPECS[name]), data.draw(histories())
    if isinstance(spec, KpaSpec):  # what cannot be reached need not come up
        spec = replace(spec, reachable=True)
    _, state, now_s = run(policy, spec, history)
    start_s = math.ceil(now_s)
    samples = tuple(Sample(t_s=float(start_s + i), concurrency=0.0, rps=0.0) for i in range(quiet))
    loading = Observation(samples=samples, ready=0, starting=1, desired=1)
    decision, state = policy.decide(spec, loading, state, start_s + quiet)
    assert wanted(decision, loading) >= 1
    became_ready = replace(loading, samples=(Sample(t_s=float(start_s + quiet), concurrency=0.0, rps=0.0),), ready=1)
    if not (isinstance(spec, KpaSpec) and spec.stable_window_s == 0):
        decision, _ = policy.decide(spec, replace(became_ready, starting=0), state, start_s + quiet + 1)
        assert wanted(decision, became_ready) >= 1


@policies
@given(data=st.data(), waiting=st.integers(min_value=1, max_value=1000))
def test_whatever_waits_keeps_a_replica_and_more_of_it_never_means_fewer(
    name: str, data: st.DataObject, waiting: int
) -> None:
    policy, spec, history = POLICIES[name], data.draw(SPECS[name]), data.draw(histories())
    _, state, now_s = run(policy, spec, history)
    desired = data.draw(st.integers(min_value=0, max_value=3))
    start_s, quiet = math.ceil(now_s), data.draw(st.sampled_from([0, 1, 100]))
    samples = tuple(Sample(t_s=float(start_s + i), concurrency=0.0, rps=0.0) for i in range(quiet))
    starting = data.draw(st.sampled_from([0, desired]))
    few = Observation(samples=samples, ready=0, starting=starting, desired=desired, waiting=waiting)
    now_s = start_s + quiet
    decision, _ = policy.decide(spec, few, state, now_s)
    assert wanted(decision, few) >= 1
    many = replace(few, waiting=2 * waiting)
    assert wanted(policy.decide(spec, many, state, now_s)[0], many) >= wanted(decision, few)


@policies
@given(data=st.data())
def test_the_same_inputs_give_the_same_outputs_also_from_a_stored_state(name: str, data: st.DataObject) -> None:
    policy, spec, history = POLICIES[name], data.draw(SPECS[name]), data.draw(histories())
    decisions, state, now_s = run(policy, spec, history)
    assert run(policy, spec, history) == (decisions, state, now_s)
    pickled = pickle.loads(pickle.dumps(state))
    as_json: Any = msgspec.json.decode(msgspec.json.encode(state), type=STATE_TYPES[name])
    assert pickled == as_json == state
    again = policy.decide(spec, history[-1], state, now_s)
    assert policy.decide(spec, history[-1], as_json, now_s) == again


@policies
@given(data=st.data())
def test_the_next_change_lies_ahead_and_every_decision_has_a_reason(name: str, data: st.DataObject) -> None:
    policy, spec, history = POLICIES[name], data.draw(SPECS[name]), data.draw(histories())
    now_s = history[0].samples[0].t_s if history[0].samples else 0.0
    state = policy.initial_state(spec, history[0], now_s)
    for seen in history:
        now_s = end_s(seen, now_s)
        decision, state = policy.decide(spec, seen, state, now_s)
        assert decision.reason
        assert decision.next_change_s is None or decision.next_change_s > now_s


@given(name=st.sampled_from(sorted(POLICIES)), batch=st.one_of(st.none(), st.integers(min_value=1, max_value=4096)))
def test_any_functions_spec_gives_settings(name: str, batch: int | None) -> None:
    assert POLICIES[name].settings_for(FunctionSpec(name="f", batch=batch))
