"""A tick of 2 ms and one of 5 ms behave alike: rules count time, not calls.

All inputs change at multiples of 10 ms, which both ticks hit. What is exact, and what is not, each test states.
"""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dilu_autoscaler.policy.vertical import VERTICAL_POLICIES, Grants, VerticalInputs, initial_state
from dilu_autoscaler.policy.vertical.deadline_shares import STEP_MILLI, STEP_US
from vertical.nodes import histories, nodes

COMMON_US = 10_000
Phase = tuple[VerticalInputs, int]
"""Inputs, and for how many common times they hold."""


@st.composite
def phases(draw: st.DrawFn, max_length: int = 5) -> list[Phase]:
    lengths = st.integers(min_value=1, max_value=max_length)
    return [(inputs, draw(lengths)) for inputs in draw(histories())]


def ticked(name: str, history: list[Phase], tick_us: int) -> list[tuple[int, Grants]]:
    """Return every answer with its time, from the first tick on; a tick at a phase's start sees its inputs."""
    state = initial_state(len(history[0][0].first) - 1, len(history[0][0].work))
    now_us, end_us = tick_us, 0
    answers = []
    for inputs, length in history:
        end_us += length * COMMON_US
        while now_us < end_us:
            answers.append((now_us, VERTICAL_POLICIES[name].decide(inputs, state, tick_us)))
            now_us += tick_us
    return answers


def at_common_times(answers: list[tuple[int, Grants]]) -> list[list[int]]:
    return [grants.milli for now_us, grants in answers if now_us % COMMON_US == 0]


@pytest.mark.parametrize("name", ["dilu-paper", "exclusive", "static-limit", "static-request", "tgs"])
@settings(max_examples=20)
@given(history=phases(), after=st.sampled_from([0, 48, 52]))
def test_windows_and_steps_of_five_milliseconds_give_the_same_grants(
    name: str, history: list[Phase], after: int
) -> None:
    history = [*history, (history[-1][0], after)]  # 0.5 s are the longest window
    fine, coarse = (at_common_times(ticked(name, history, tick_us)) for tick_us in (2_000, 5_000))
    assert fine == coarse


@settings(max_examples=20)
@given(history=phases())
def test_dilu_gives_the_same_grants_once_the_inputs_held_for_fifty_milliseconds(history: list[Phase]) -> None:
    history = [(inputs, length + 5) for inputs, length in history]
    fine, coarse = (at_common_times(ticked("dilu", history, tick_us)) for tick_us in (2_000, 5_000))
    begin = 0
    for _, length in history:
        assert fine[begin + 5 : begin + length - 1] == coarse[begin + 5 : begin + length - 1]
        begin += length


@pytest.mark.parametrize("tick_us", [2_000, 5_000])
@settings(max_examples=20)
@given(history=phases())
def test_dilu_takes_no_share_away_faster_than_its_step_while_the_same_tenants_work(
    tick_us: int, history: list[Phase]
) -> None:
    for inputs, _ in history:
        inputs.work = [1] * len(inputs.work)
    grants = [answer.milli for _, answer in ticked("dilu", history, tick_us)]
    for last, now in pairwise(grants):
        assert all(before - after <= STEP_MILLI * tick_us // STEP_US for before, after in zip(last, now, strict=True))


@settings(max_examples=20)
@given(inputs=nodes())
def test_fast_gshare_gives_each_tenant_the_same_time_within_two_turns(inputs: VerticalInputs) -> None:
    fine, coarse = (
        [
            sum(grants.milli[place] * tick_us for _, grants in ticked("fast-gs", [(inputs, 50)], tick_us))
            for place in range(len(inputs.work))
        ]
        for tick_us in (2_000, 5_000)
    )
    for limit, one, other in zip(inputs.limit_milli, fine, coarse, strict=True):
        assert abs(one - other) <= 2 * 5_000 * limit


@pytest.mark.parametrize("name", sorted(VERTICAL_POLICIES))
@pytest.mark.parametrize("tick_us", [2_000, 5_000])
@settings(max_examples=20)
@given(history=phases())
def test_no_grant_changes_before_the_time_that_the_rule_has_stated(
    name: str, tick_us: int, history: list[Phase]
) -> None:
    lengths = [0, *(length for _, length in history)]
    begins_us = {count * COMMON_US for count in accumulate(lengths)}
    due_us: int | None = 0
    last: list[int] = []
    for now_us, grants in ticked(name, history, tick_us):
        if now_us not in begins_us and (due_us is None or now_us < due_us):
            assert grants.milli == last
        last, due_us = grants.milli, None if grants.next_change_us is None else now_us + grants.next_change_us
