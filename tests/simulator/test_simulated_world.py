"""Pieces of the simulated world: the order of events, the loop's due times, latencies."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.load.arrivals import RecordedArrivals
from dilu_autoscaler.policy.horizontal import POLICIES
from dilu_simulator.arrivals import stream_for
from dilu_simulator.event_queue import US_PER_S, EventQueue, Order
from dilu_simulator.latencies import Latencies
from dilu_simulator.single_function import SingleRun, simulate_single
from dilu_simulator.world import first_us_at


def test_events_of_one_moment_come_in_the_written_order_and_then_as_they_were_scheduled() -> None:
    events, seen = EventQueue(), list[str]()
    for order, name in [(Order.TICKED, "look"), (Order.ARRIVED, "first"), (Order.ARRIVED, "second")]:
        events.at(10, order, lambda name=name: seen.append(name))  # type: ignore[misc]  # a default binds the name
    events.at(10, Order.READY, lambda: seen.append("ready"))
    events.at(9, Order.TICKED, lambda: seen.append("earlier"))
    events.run_until(10)
    assert seen == ["earlier", "ready", "first", "second", "look"]


def test_nothing_can_be_scheduled_before_now() -> None:
    events = EventQueue()
    events.run_until(5)
    with pytest.raises(ValueError, match="event at 4 µs, must not be before now, 5 µs"):
        events.at(4, Order.ARRIVED, lambda: None)


@given(st.floats(min_value=0.0, max_value=1e6), st.sampled_from([0.0, 0.1, 1.0, 2.0, 15.0]))
def test_a_look_never_comes_before_it_is_due_and_at_most_two_microseconds_after(at_s: float, later_s: float) -> None:
    due_s = at_s + later_s
    assert due_s <= first_us_at(due_s) / US_PER_S <= due_s + 2e-6


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_loads_at_odd_microseconds_come_to_an_end(policy: str) -> None:
    # Due times are sums of floats: one that lies an ulp after its microsecond once made the loop run forever.
    times = tuple(at / 7.0 + at % 13 * 1e-6 for at in range(3, 400, 23))
    run = SingleRun(policy=POLICIES[policy], capacity_rps=56.0, warm_replicas=0, min_replicas=0)
    assert simulate_single(run, RecordedArrivals(at_s=times)).requests == len(times)


@given(st.lists(st.integers(min_value=0, max_value=10**10), min_size=1, max_size=50), st.sampled_from([50, 95, 100]))
def test_a_percentile_is_the_nearest_rank_within_a_twentieth_of_a_percent(values: list[int], percent: int) -> None:
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    exact = sorted(values)[max(1, -(-len(values) * percent // 100)) - 1]
    assert latencies.percentile_us(percent) == pytest.approx(exact, rel=5e-4)


def test_each_seed_and_purpose_has_a_stream_of_its_own() -> None:
    purposes = [(1, "embed", "arrivals"), (1, "embed", "tokens"), (1, "chat", "arrivals"), (2, "embed", "arrivals")]
    assert len({stream_for(*purpose).random() for purpose in purposes}) == len(purposes)
