"""When a GPU's vertical rule is called: at changes, then while it is on its way, and never when all is idle."""

from __future__ import annotations

import pytest

from dilu_autoscaler.policy.vertical import (
    VERTICAL_POLICIES,
    Grants,
    VerticalInputs,
    VerticalPolicy,
    VerticalState,
    vertical_policy_named,
)
from dilu_simulator.devices.gpus import TICK_US, Gpu, Tenant
from dilu_simulator.event_queue import EventQueue


class Bystander:
    """Whose shares are looked at from outside."""

    def settle(self) -> None:
        pass

    def rerate(self) -> None:
        pass

    def slack_us(self, now_us: int) -> int:
        return 1_000_000


def gpu_of(name: str) -> tuple[Gpu, list[Tenant], EventQueue]:
    """Two inference tenants and one that trains; none has work."""
    events = EventQueue()
    gpu = Gpu(0, vertical_policy_named(name), events)
    tenants = [
        gpu.join(Bystander(), request_milli=300, limit_milli=limit, sensitive=sensitive)
        for limit, sensitive in ((600, True), (1000, True), (900, False))
    ]
    return gpu, tenants, events


def set_work(gpu: Gpu, *places: int) -> None:
    gpu.before_change()
    gpu.inputs.work[:] = [int(place in places) for place in range(len(gpu.tenants))]
    gpu.decide()


def shares(tenants: list[Tenant]) -> list[int]:
    return [tenant.share_milli for tenant in tenants]


@pytest.mark.parametrize("name", sorted(VERTICAL_POLICIES))
def test_nothing_ticks_when_no_tenant_has_work(name: str) -> None:
    gpu, tenants, events = gpu_of(name)
    assert not events.run_next()
    set_work(gpu, 0, 1, 2)
    events.run_until(events.now_us + 20 * TICK_US)
    set_work(gpu)
    happened = 0
    while events.run_next():
        happened += 1
    assert happened <= 1  # the tick that was under way
    assert shares(tenants) == [0, 0, 0]


@pytest.mark.parametrize("name", sorted(VERTICAL_POLICIES))
def test_deciding_again_within_a_tick_changes_nothing(name: str) -> None:
    gpu, tenants, events = gpu_of(name)
    for places in ((2,), (0, 2), (0, 1, 2), (1, 2)):
        set_work(gpu, *places)
        first = shares(tenants)
        for _ in range(5):
            events.run_until(events.now_us + TICK_US // 10)
            gpu.before_change()
            gpu.decide()
            assert shares(tenants) == first
        events.run_until(events.now_us + TICK_US)


def test_shares_go_on_moving_from_tick_to_tick_until_they_are_where_the_rule_wants_them() -> None:
    events = EventQueue()
    gpu = Gpu(0, vertical_policy_named("dilu"), events)
    tenants = [gpu.join(Bystander(), request_milli=100, limit_milli=900, sensitive=True) for _ in range(2)]
    set_work(gpu, 1)
    assert shares(tenants) == [0, 900]
    events.run_until(100 * TICK_US)
    set_work(gpu, 0, 1)
    seen = [(events.now_us, shares(tenants))]
    while events.run_next():
        seen.append((events.now_us, shares(tenants)))
    assert [share[1] for _, share in seen] == [800, 700, 600, 500, 500]
    assert [at_us // TICK_US for at_us, _ in seen] == [100, 101, 102, 103, 104]


def test_a_rule_that_remembers_time_is_told_of_all_of_it() -> None:
    counted: list[int] = []

    def counting(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
        state.counter = [count + elapsed_us for count in state.counter]
        counted[:] = state.counter
        return Grants([100] * len(inputs.work), TICK_US)

    events = EventQueue()
    gpu = Gpu(0, VerticalPolicy(name="counting", decide=counting), events)
    gpu.join(Bystander(), request_milli=100, limit_milli=100, sensitive=True)
    events.run_until(7 * TICK_US + 100)
    set_work(gpu, 0)
    assert counted == [7 * TICK_US]
    events.run_until(20 * TICK_US + 300)
    set_work(gpu)
    events.run_until(50 * TICK_US)
    gpu.before_change()
    assert counted == [50 * TICK_US]


def test_a_tenant_that_leaves_takes_its_columns_along() -> None:
    gpu, tenants, _ = gpu_of("dilu-paper")
    set_work(gpu, 0, 1, 2)
    gpu.leave(tenants[1])
    assert [tenant.place for tenant in gpu.tenants] == [0, 1]
    inputs, state = gpu.inputs, gpu.state
    columns = [inputs.request_milli, inputs.limit_milli, inputs.sensitive, inputs.work, inputs.slack_us]
    columns += [inputs.cycle_us, inputs.min_cycle_us, state.granted_milli, state.idle_us, state.counter]
    assert {len(column) for column in columns} == {2}
    assert inputs.first == [0, 2]
    assert inputs.limit_milli == [600, 900]


def test_a_neighbour_that_has_just_worked_is_expected_to_need_its_request_for_another_second() -> None:
    gpu, tenants, events = gpu_of("dilu")
    assert gpu.could_grant(tenants[1]) == 1000
    set_work(gpu, 0)
    assert gpu.could_grant(tenants[1]) == 700
    events.run_until(events.now_us + 300_000)
    set_work(gpu)
    tenants[0].worked_us = events.now_us
    events.run_until(events.now_us + 999_999)
    assert gpu.could_grant(tenants[1]) == 700
    events.run_until(events.now_us + 1)
    assert gpu.could_grant(tenants[1]) == 1000
