"""What each vertical policy does in plain cases."""

from __future__ import annotations

import pytest

from dilu.errors import ConfigError
from dilu_autoscaler.policy.vertical import VerticalState, initial_state, vertical_policy_named, without_tenant
from dilu_autoscaler.policy.vertical.paper_tokens import EMERGENCY
from vertical.nodes import LATE_US, one_gpu


def state_for(tenants: int, granted: list[int] | None = None) -> VerticalState:
    state = initial_state(1, tenants)
    if granted is not None:
        state.granted_milli = granted
    return state


def grants_of(name: str, state: VerticalState, elapsed_us: int = 5000, /, **node: list[int]) -> list[int]:
    return vertical_policy_named(name).decide(one_gpu(**node), state, elapsed_us).milli


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"^vertical policy = 'mps', must be one of: dilu, dilu-paper, exclusive, "):
        vertical_policy_named("mps")


def test_alone_with_work_a_tenant_has_its_limit_at_once() -> None:
    assert grants_of("dilu", state_for(2), request=[300, 500], limit=[600, 1000], work=[1, 0]) == [600, 0]


def test_what_was_lent_is_taken_back_in_the_tick_in_which_its_owner_has_work() -> None:
    state = state_for(2, [0, 1000])
    assert grants_of("dilu", state, request=[300, 500], limit=[600, 1000], work=[1, 1]) == [375, 625]


def test_who_will_be_late_gets_what_is_free_before_the_others() -> None:
    state = state_for(2)
    grants = grants_of("dilu", state, request=[300, 300], limit=[600, 600], work=[1, 1], slack_us=[10_000, LATE_US])
    assert grants == [400, 600]


def test_training_is_never_late() -> None:
    grants = grants_of(
        "dilu",
        state_for(2),
        request=[300, 300],
        limit=[700, 700],
        work=[1, 1],
        sensitive=[0, 1],
        slack_us=[LATE_US, LATE_US],
    )
    assert grants == [300, 700]


def test_a_share_moves_to_who_is_late_in_steps() -> None:
    state = state_for(2, [700, 300])
    node = {"request": [300, 300], "limit": [700, 700], "work": [1, 1], "slack_us": [10_000, LATE_US]}
    seen = [grants_of("dilu", state, **node) for _ in range(4)]
    assert seen == [[600, 400], [500, 500], [400, 600], [300, 700]]


def test_requests_that_do_not_fit_are_shrunk_alike() -> None:
    assert grants_of("dilu", state_for(2), request=[800, 800], limit=[900, 900], work=[1, 1]) == [500, 500]


def test_static_shares_are_the_request_and_the_limit() -> None:
    node = {"request": [300, 400], "limit": [600, 800], "work": [1, 0]}
    assert grants_of("static-request", state_for(2), **node) == [300, 400]
    assert grants_of("static-limit", state_for(2), **node) == [600, 0]
    assert grants_of("static-limit", state_for(2), **{**node, "work": [1, 1]}) == [428, 571]
    assert grants_of("exclusive", state_for(1), request=[300], limit=[600], work=[1]) == [1000]


def test_time_tokens_take_turns_where_two_partitions_do_not_fit() -> None:
    state = state_for(2)
    turns = [grants_of("fast-gs", state, request=[300, 300], limit=[600, 600], work=[1, 1]) for _ in range(4)]
    assert turns == [[600, 0], [0, 600], [600, 0], [0, 600]]


def test_tgs_lends_more_while_the_productive_tenant_is_as_fast_as_alone_and_less_after() -> None:
    node = {"request": [300, 300], "limit": [400, 1000], "work": [1, 1], "sensitive": [1, 0]}
    state, fast, slow = state_for(2), [20_000, 0], [30_000, 0]
    rates = [grants_of("tgs", state, 50_000, **node, cycle_us=fast, min_cycle_us=[20_000, 0])[1] for _ in range(12)]
    assert rates == sorted(rates)
    assert rates[-1] > 100
    slowed = [grants_of("tgs", state, 50_000, **node, cycle_us=slow, min_cycle_us=[20_000, 0])[1] for _ in range(3)]
    assert slowed == sorted(slowed, reverse=True)
    assert slowed[0] < rates[-1]


def test_tgs_lends_eight_percent_less_at_each_slow_down_after_the_first() -> None:
    node = {"request": [300, 300], "limit": [400, 1000], "work": [1, 1], "sensitive": [1, 0]}
    state = state_for(2)
    state.mode = [600_000]
    slow = {"cycle_us": [30_000, 0], "min_cycle_us": [20_000, 0]}
    assert [grants_of("tgs", state, 50_000, **node, **slow)[1] for _ in range(3)] == [400, 368, 338]


def test_time_tokens_are_paid_for_as_long_as_they_were_held() -> None:
    state = state_for(2)
    node = {"request": [300, 300], "limit": [600, 600], "work": [1, 1]}
    assert grants_of("fast-gs", state, 20_000, **node) == [600, 0]
    # The first owes 300 x 20 ms now, the second has earned as much: it runs until they are even.
    assert [grants_of("fast-gs", state, **node) for _ in range(5)] == [[0, 600]] * 4 + [[600, 0]]


TRAINED_BESIDE = {"request": [300, 400], "limit": [600, 900], "sensitive": [1, 0]}


def test_an_inflated_cycle_is_an_emergency_that_the_other_tenant_pays_for() -> None:
    state = state_for(2, [300, 600])
    node = {**TRAINED_BESIDE, "work": [1, 1], "min_cycle_us": [20_000, 0]}
    assert grants_of("dilu-paper", state, **node, cycle_us=[40_000, 0]) == [600, 200]
    assert (state.mode, state.owner) == ([EMERGENCY], [0])
    # It lasts until the cycle is near its least again, and is over with its owner.
    assert grants_of("dilu-paper", state, **node, cycle_us=[26_000, 0]) == [600, 153]
    assert grants_of("dilu-paper", state, **node, cycle_us=[22_000, 0])[0] == 300
    grants_of("dilu-paper", state, **node, cycle_us=[40_000, 0])
    without_tenant(state, 0)
    assert (state.mode, state.owner) == ([0], [-1])


def test_a_tenant_that_is_idle_for_a_window_lets_the_other_recover() -> None:
    state = state_for(2, [300, 400])
    node = {**TRAINED_BESIDE, "work": [0, 1]}
    assert grants_of("dilu-paper", state, 495_000, **node) == [0, 400]
    assert [grants_of("dilu-paper", state, 25_000, **node)[1] for _ in range(4)] == [520, 676, 878, 900]


def test_training_alone_has_its_limit() -> None:
    assert grants_of("dilu-paper", state_for(1), request=[400], limit=[900], work=[1], sensitive=[0]) == [900]
