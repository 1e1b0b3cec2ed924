"""What holds for the vertical policies, whatever the tenants do."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.policy.vertical import (
    VERTICAL_POLICIES,
    VerticalInputs,
    VerticalState,
    initial_state,
    with_tenant,
    without_tenant,
)
from dilu_autoscaler.policy.vertical.deadline_shares import STEP_MILLI
from vertical.nodes import gpus_of, histories

policies = pytest.mark.parametrize("name", sorted(VERTICAL_POLICIES))
times = st.integers(min_value=0, max_value=1_500_000)


def first_state(inputs: VerticalInputs) -> VerticalState:
    return initial_state(len(inputs.first) - 1, len(inputs.work))


@policies
@given(history=histories(), elapsed_us=times)
def test_no_gpu_gives_more_than_it_has_and_no_tenant_gets_less_than_nothing(
    name: str, history: list[VerticalInputs], elapsed_us: int
) -> None:
    state = first_state(history[0])
    for inputs in history:
        grants = VERTICAL_POLICIES[name].decide(inputs, state, elapsed_us).milli
        assert len(grants) == len(inputs.work)
        assert min(grants, default=0) >= 0
        assert all(sum(grants[place] for place in places) <= 1000 for places in gpus_of(inputs))


@policies
@given(history=histories(), elapsed_us=times)
def test_no_tenant_gets_more_than_its_limit_but_the_owner_of_a_whole_gpu(
    name: str, history: list[VerticalInputs], elapsed_us: int
) -> None:
    state = first_state(history[0])
    for inputs in history:
        grants = VERTICAL_POLICIES[name].decide(inputs, state, elapsed_us).milli
        if name != "exclusive":
            assert all(grant <= limit for grant, limit in zip(grants, inputs.limit_milli, strict=True))


@policies
@given(history=histories(), elapsed_us=times)
def test_the_same_history_gives_the_same_grants_and_leaves_its_inputs_alone(
    name: str, history: list[VerticalInputs], elapsed_us: int
) -> None:
    before = copy.deepcopy(history)
    states = [first_state(history[0]), first_state(history[0])]
    runs = [[VERTICAL_POLICIES[name].decide(inputs, state, elapsed_us) for inputs in history] for state in states]
    assert runs[0] == runs[1]
    assert states[0] == states[1]
    assert history == before


@pytest.mark.parametrize("name", ["dilu", "static-request"])
@given(history=histories(), elapsed_us=times)
def test_who_has_work_has_its_request_in_every_tick(name: str, history: list[VerticalInputs], elapsed_us: int) -> None:
    state = first_state(history[0])
    for inputs in history:
        grants = VERTICAL_POLICIES[name].decide(inputs, state, elapsed_us).milli
        for place, grant in enumerate(grants):
            assert not inputs.work[place] or grant >= inputs.request_milli[place]


@given(history=histories(), elapsed_us=times)
def test_what_lies_idle_is_lent_within_one_tick(history: list[VerticalInputs], elapsed_us: int) -> None:
    state = first_state(history[0])
    for inputs in history:
        grants = VERTICAL_POLICIES["dilu"].decide(inputs, state, elapsed_us).milli
        for places in gpus_of(inputs):
            usable = sum(inputs.limit_milli[place] for place in places if inputs.work[place])
            assert sum(grants[place] for place in places) == min(1000, usable)


@given(history=histories())
def test_among_the_same_busy_tenants_none_loses_more_than_a_step(history: list[VerticalInputs]) -> None:
    state = first_state(history[0])
    busy = [1] * len(history[0].work)
    last: list[int] | None = None
    for inputs in history:
        inputs.work = busy
        grants = VERTICAL_POLICIES["dilu"].decide(inputs, state, 5000).milli
        if last is not None:
            assert all(before - now <= STEP_MILLI for before, now in zip(last, grants, strict=True))
        last = grants


@policies
@given(history=histories(), data=st.data())
def test_a_tenant_that_comes_and_goes_again_changes_nothing_for_the_others(
    name: str, history: list[VerticalInputs], data: st.DataObject
) -> None:
    state = first_state(history[0])
    for inputs in history:
        VERTICAL_POLICIES[name].decide(inputs, state, 5000)
    before = copy.deepcopy(state)
    place = data.draw(st.integers(min_value=0, max_value=len(history[0].work)))
    with_tenant(state, place)
    without_tenant(state, place)
    assert state == before
