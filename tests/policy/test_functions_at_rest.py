"""Quiet seconds that `dilu` passes at once come out as one after the other."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    Bounds,
    Observation,
    Sample,
)
from dilu_autoscaler.policy.horizontal.dilu import rule as coscale_module
from dilu_autoscaler.policy.horizontal.dilu.paper_shadow import PaperShadow, rests, shadow_after, shadow_at_rest
from dilu_autoscaler.policy.horizontal.dilu.rule import CoscaleState
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec

RULE = POLICIES["dilu"]
SPEC = CoscaleSpec(rps_limit=20.0, slo_s=0.25)
runs = st.lists(
    st.tuples(st.sampled_from([0.0, 0.0, 0.4, 5.0, 19.0, 21.0, 70.0]), st.integers(min_value=1, max_value=150)),
    min_size=1,
    max_size=8,
)
bounds = st.sampled_from([Bounds(), Bounds(min_replicas=1), Bounds(min_replicas=2), Bounds(max_replicas=1)])


def after(spec: CoscaleSpec, load: list[tuple[float, int]], *, together: int) -> tuple[list[int], CoscaleState]:
    """The numbers and the memory, where a number of seconds is seen at a time."""
    rates = [rps for rps, seconds in load for _ in range(seconds)]
    samples = [Sample(t_s=float(second), concurrency=rps * 0.05, rps=rps) for second, rps in enumerate(rates)]
    replicas, numbers, state = 1, [], None
    for begin in range(0, len(samples), together):
        seen = Observation(samples=tuple(samples[begin : begin + together]), ready=replicas, desired=replicas)
        now_s = float(begin + together)
        state = RULE.initial_state(spec, seen, now_s) if state is None else state
        decision, state = RULE.decide(spec, seen, state, now_s)
        replicas = replicas if decision.replicas is None else decision.replicas
        numbers.append(replicas)
    assert isinstance(state, CoscaleState)
    return numbers, state


@given(load=runs, bounds=bounds, forecasts=st.booleans(), together=st.sampled_from([1, 7, 60, 500]))
def test_what_rests_is_passed_at_once_and_nothing_else_changes(
    load: list[tuple[float, int]], bounds: Bounds, forecasts: bool, together: int
) -> None:
    spec = replace(SPEC, bounds=bounds, forecasts=forecasts)
    quick = after(spec, load, together=together)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(coscale_module._Course, "_rest", lambda self, seconds: 0)
        assert after(spec, load, together=together) == quick


@given(load=runs, bounds=bounds, quiet_s=st.integers(min_value=1, max_value=200))
def test_a_shadow_at_rest_is_the_shadow_after_each_second(
    load: list[tuple[float, int]], bounds: Bounds, quiet_s: int
) -> None:
    shadow = PaperShadow(replicas=1)
    for rps, seconds in [*load, (0.0, 1)]:
        for _ in range(seconds):
            shadow = shadow_after(shadow, rps, 20.0, bounds, is_quiet=rps == 0.0, cold_start_samples=5)
    one_by_one = shadow
    for _ in range(quiet_s):
        one_by_one = shadow_after(one_by_one, 0.0, 20.0, bounds, is_quiet=True, cold_start_samples=5)
    if rests(shadow, 20.0, bounds):
        assert shadow_at_rest(shadow, quiet_s, bounds) == one_by_one
