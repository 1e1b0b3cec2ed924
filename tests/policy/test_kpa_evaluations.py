"""KPA's evaluations against numbers of Knative's own tests: averages in, replicas and excess burst capacity out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from dilu_autoscaler.policy.horizontal.kpa.rule import evaluate
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, KpaSpec, ScalingMetric
from dilu_autoscaler.policy.horizontal.kpa.state import KpaState, state_for_ready
from dilu_autoscaler.policy.horizontal.observations import Averages


def spec_for(*, target: float, **changes: Any) -> KpaSpec:
    defaults: dict[str, Any] = {
        "total": target / 0.75,
        "panic_threshold_ratio": 2.0,
        "max_scale_up_rate": 10.0,
        "max_scale_down_rate": 10.0,
        "stable_window_s": 60,
        "activation_scale": 0,
    }
    return KpaSpec(target=target, **(defaults | changes))


@dataclass(frozen=True, kw_only=True)
class Step:
    t_s: float = 0.0
    ready: int
    stable: float
    panic: float
    desired: int
    excess: int
    panic_since_s: float | str | None = "any"
    panic_peak: int | None = None  # None: any


@dataclass(frozen=True, kw_only=True)
class Run:
    """Evaluations of one state, one after the other."""

    name: str
    spec: KpaSpec
    steps: tuple[Step, ...]
    made_with_ready: int = 1
    panic: tuple[float, int] | None = None  # (since, peak), where it is given and not the state's own


RUNS = [
    Run(
        name="A1 a surge starts panic",
        spec=spec_for(target=10, target_burst_capacity=100),
        steps=(Step(ready=1, stable=50, panic=50, desired=5, excess=-137, panic_since_s=0.0),),
    ),
    Run(
        name="A2 requests per second",
        spec=spec_for(target=10, target_burst_capacity=100, metric=ScalingMetric.RPS),
        steps=(Step(t_s=61, ready=1, stable=100, panic=99, desired=10, excess=-186),),
    ),
    Run(
        name="A3 A4 the load rises in the stable window only",
        spec=spec_for(target=10, target_burst_capacity=101),
        steps=(
            Step(ready=1, stable=50, panic=10, desired=5, excess=-98),
            Step(ready=1, stable=100, panic=10, desired=10, excess=-98),
        ),
    ),
    Run(
        name="A9 A10 the load falls to none",
        spec=spec_for(target=10, target_burst_capacity=75),
        steps=(
            Step(ready=1, stable=1, panic=0, desired=1, excess=-62),
            Step(ready=1, stable=0, panic=0, desired=0, excess=-62),
        ),
    ),
    Run(
        name="A13 no traffic",
        spec=spec_for(target=10, target_burst_capacity=100),
        steps=(Step(ready=1, stable=0, panic=0, desired=0, excess=-87, panic_since_s=None),),
    ),
    Run(
        name="A14 unlimited burst",
        spec=spec_for(target=181, target_burst_capacity=UNLIMITED_BURST),
        steps=(Step(ready=1, stable=21, panic=26, desired=1, excess=-1),),
    ),
    Run(
        name="A16 panic from one pod",
        spec=spec_for(target=10, target_burst_capacity=100),
        steps=(Step(ready=1, stable=50, panic=50, desired=5, excess=-137),),
    ),
    Run(
        name="A17 the stable window asks for more than the panic window while panicking",
        spec=spec_for(target=1, target_burst_capacity=100),
        panic=(95.0, 5),
        steps=(Step(t_s=100, ready=5, stable=50, panic=30, desired=50, excess=-124),),
    ),
    Run(
        name="A20 a slow rate still lets one pod be added",
        spec=spec_for(target=1, target_burst_capacity=1982, max_scale_up_rate=1.1),
        steps=(Step(ready=2, stable=3, panic=3.1, desired=3, excess=-1983),),
    ),
    Run(
        name="A21 limited on the way down",
        spec=spec_for(target=10, target_burst_capacity=1982, max_scale_down_rate=1.1),
        steps=(Step(ready=100, stable=1, panic=1, desired=90, excess=-650),),
    ),
    Run(
        name="A24 A25 limited on the way up",
        spec=spec_for(target=10, target_burst_capacity=61),
        steps=(
            Step(ready=1, stable=1000, panic=1001, desired=10, excess=-1049),
            Step(ready=10, stable=1000, panic=1001, desired=100, excess=-929),
        ),
    ),
    Run(
        name="A28 no ready pod counts as one for the rates and as none for the burst",
        spec=spec_for(target=10, target_burst_capacity=81),
        steps=(Step(ready=0, stable=1000, panic=888, desired=10, excess=-969),),
    ),
    Run(
        name="B1 panic ends when the surge has reached the stable window",
        spec=spec_for(target=1, target_burst_capacity=98),
        steps=(
            Step(t_s=0, ready=10, stable=11, panic=25, desired=25, excess=-110, panic_since_s=0.0),
            Step(t_s=30, ready=40, stable=30, panic=41, desired=41, excess=-86, panic_since_s=0.0),
            Step(t_s=62, ready=55, stable=50, panic=56, desired=50, excess=-81, panic_since_s=None, panic_peak=0),
        ),
    ),
    Run(
        name="B3 exponential surge",
        spec=spec_for(target=1, target_burst_capacity=101),
        steps=(
            Step(t_s=0, ready=1, stable=6, panic=6, desired=6, excess=-106, panic_since_s=0.0),
            Step(t_s=0, ready=6, stable=36, panic=36, desired=36, excess=-129, panic_since_s=0.0),
            Step(t_s=1, ready=36, stable=216, panic=216, desired=216, excess=-269, panic_since_s=1.0),
            Step(t_s=1, ready=216, stable=1296, panic=1296, desired=1296, excess=-1109, panic_since_s=1.0),
            Step(t_s=2, ready=1296, stable=1296, panic=1296, desired=1296, excess=331, panic_since_s=1.0),
        ),
    ),
    Run(
        name="B5 scale-down delay",
        spec=spec_for(
            target=10,
            total=0,
            target_burst_capacity=0,
            panic_threshold_ratio=100,
            stable_window_s=0,
            scale_down_delay_s=300,
        ),
        made_with_ready=0,
        steps=tuple(
            Step(t_s=t_s, ready=0, stable=load, panic=load, desired=desired, excess=0)
            for t_s, load, desired in (
                (2, 40, 4),
                (300, 0, 4),
                (302, 0, 0),
                (540, 40, 4),
                (600, 30, 4),
                (660, 0, 4),
                (840, 0, 3),
                (900, 0, 0),
            )
        ),
    ),
]


def first_state(run: Run) -> KpaState:
    state = state_for_ready(run.spec, run.made_with_ready, 0.0)
    if run.panic is None:
        return state
    since_s, peak = run.panic
    return replace(state, panic_since_s=since_s, panic_peak=peak)


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_evaluations_equal_knatives(run: Run) -> None:
    state = first_state(run)
    for step in run.steps:
        averages = Averages(stable=step.stable, panic=step.panic)
        decision, state = evaluate(run.spec, averages, step.ready, state, step.t_s)
        assert (decision.replicas, decision.excess_burst_capacity) == (step.desired, step.excess), decision.reason
        assert decision.panicking == (state.panic_since_s is not None)
        if step.panic_since_s != "any":
            assert state.panic_since_s == step.panic_since_s
        if step.panic_peak is not None:
            assert state.panic_peak == step.panic_peak


@pytest.mark.parametrize(
    ("averages", "ready"),
    [
        pytest.param(None, 1, id="A31 no data"),
        pytest.param(Averages(stable=1000, panic=888), None, id="A32 unknown number of pods"),
    ],
)
def test_without_data_or_pods_there_is_no_result_and_the_state_stays(
    averages: Averages | None, ready: int | None
) -> None:
    spec = spec_for(target=10, target_burst_capacity=81, scale_down_delay_s=300)
    state = state_for_ready(spec, 4, 0.0)
    decision, after = evaluate(spec, averages, ready, state, 1000.0)
    assert decision.replicas is None
    assert decision.excess_burst_capacity is None
    assert decision.reason.startswith("hold: ")
    assert after == state


@pytest.mark.parametrize(
    ("ready", "panicking", "peak"), [(0, False, 0), (1, False, 1), (2, True, 2), (None, False, 0)], ids=str
)
def test_b8_more_than_one_ready_pod_at_the_start_is_panic(ready: int | None, panicking: bool, peak: int) -> None:
    state = state_for_ready(spec_for(target=10), ready, 7.0)
    assert state.panic_since_s == (7.0 if panicking else None)
    assert state.panic_peak == peak


def test_panic_outlasts_exactly_one_stable_window() -> None:
    spec = spec_for(target=1)
    state = state_for_ready(spec, 2, 12.3)
    calm = Averages(stable=1, panic=1)
    at_its_end, state = evaluate(spec, calm, 2, state, 72.3)
    after_its_end, state = evaluate(spec, calm, 2, state, 72.301)
    assert (at_its_end.replicas, at_its_end.panicking) == (2, True)
    assert (after_its_end.replicas, after_its_end.panicking) == (1, False)


def test_an_unreachable_function_falls_at_once_and_without_delay() -> None:
    spec = spec_for(target=10, max_scale_down_rate=2, scale_down_delay_s=300)
    unreachable = replace(spec, reachable=False)
    state = state_for_ready(spec, 1, 0.0)
    _, state = evaluate(spec, Averages(stable=100, panic=100), 10, state, 2.0)
    calm = Averages(stable=1, panic=1)
    assert evaluate(spec, calm, 10, state, 4.0)[0].replicas == 10
    assert evaluate(unreachable, calm, 10, state, 4.0)[0].replicas == 1


@pytest.mark.parametrize(("load", "replicas"), [(0.0, 0), (0.1, 5), (60.0, 6)])
def test_the_activation_scale_is_the_least_number_with_any_load(load: float, replicas: int) -> None:
    spec = spec_for(target=10, activation_scale=5)
    decision, _ = evaluate(spec, Averages(stable=load, panic=load), 5, state_for_ready(spec, 1, 0.0), 0.0)
    assert decision.replicas == replicas


def test_a_delay_set_later_is_not_noticed() -> None:
    spec = spec_for(target=10)
    state = state_for_ready(spec, 1, 0.0)
    delayed = replace(spec, scale_down_delay_s=300)
    _, state = evaluate(delayed, Averages(stable=100, panic=100), 10, state, 2.0)
    decision, _ = evaluate(delayed, Averages(stable=10, panic=10), 10, state, 4.0)
    assert decision.replicas == 1


@pytest.mark.parametrize(
    ("spec", "ready", "averages", "reason"),
    [
        pytest.param(
            spec_for(target=0.7),
            4,
            Averages(stable=3.2, panic=3.1),
            "5 for 3.20 in flight over 60 s at 0.7 per replica (3.10 over 6 s)",
            id="plain",
        ),
        pytest.param(
            spec_for(target=10, metric=ScalingMetric.RPS),
            1,
            Averages(stable=1000, panic=10),
            "100 for 1000.00 rps over 60 s at 10 per replica (10.00 over 6 s); 10 by the limit of one step",
            id="limited",
        ),
        pytest.param(
            spec_for(target=10),
            1,
            Averages(stable=10, panic=40),
            "1 for 10.00 in flight over 60 s at 10 per replica (40.00 over 6 s); panic: 4, no scale-down",
            id="panic",
        ),
    ],
)
def test_the_reason_shows_the_numbers(spec: KpaSpec, ready: int, averages: Averages, reason: str) -> None:
    assert evaluate(spec, averages, ready, state_for_ready(spec, 1, 0.0), 0.0)[0].reason == reason
