"""Load, second by second, as the gateway and the simulated functions count it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.load_sampler import LoadSampler
from dilu_autoscaler.load_sampler import whole_us as us
from dilu_autoscaler.policy.horizontal import Sample


def test_a_request_counts_in_the_second_in_which_it_came() -> None:
    load = LoadSampler(us(10.2))
    load.arrived(us(10.5))
    load.finished(us(10.75))
    load.arrived(us(11.5))
    load.finished(us(12.5))
    assert [(one.t_s, one.rps, one.concurrency) for one in load.take(us(13.0))] == [
        (10.0, 1.0, 0.25),
        (11.0, 1.0, 0.5),
        (12.0, 0.0, 0.5),
    ]


def test_a_second_is_handed_out_once_and_only_when_it_is_over() -> None:
    load = LoadSampler(us(10.0))
    load.arrived(us(10.1))
    assert load.take(us(10.9)) == ()
    assert [one.t_s for one in load.take(us(11.0))] == [10.0]
    assert load.take(us(11.5)) == ()


def test_quiet_seconds_are_zeros_and_long_requests_are_not_quiet() -> None:
    load = LoadSampler(us(10.0))
    assert [(one.rps, one.concurrency) for one in load.take(us(13.5))] == [(0.0, 0.0)] * 3
    load.arrived(us(13.5))
    assert [one.concurrency for one in load.take(us(16.0))] == [0.5, 1.0, 1.0]
    assert not load.is_quiet


def test_a_quiet_day_is_not_counted_second_by_second() -> None:
    load = LoadSampler()
    samples = load.take(us(10_000_000.5))
    assert len(samples) == 3600
    assert samples[-1].t_s == 9_999_999.0
    assert load.last_second(us(10_000_000.5)) == samples[-1]


@given(
    st.lists(st.tuples(st.floats(min_value=0.0, max_value=3.0), st.floats(min_value=0.0, max_value=5.0)), max_size=30),
    st.lists(st.floats(min_value=0.0, max_value=100.0), max_size=5),
)
def test_no_request_and_no_time_in_flight_is_lost(requests: list[tuple[float, float]], taken_s: list[float]) -> None:
    """(gap to the one before, duration) of each request, and times of `take`: sums stay sums."""
    load = LoadSampler()
    at_s, events = 0.0, []
    for gap_s, duration_s in requests:
        at_s += gap_s
        events += [(at_s, 0), (at_s + duration_s, 1)]
    end_s = math.ceil(max([time_s for time_s, _ in events], default=0.0)) + 1.0
    events += [(at, 2) for at in taken_s if at < end_s]
    samples: list[Sample] = []
    for time_s, kind in sorted(events):
        if kind == 2:
            samples += load.take(us(time_s))
        else:
            (load.arrived, load.finished)[kind](us(time_s))
    samples += load.take(us(end_s))
    assert [one.t_s for one in samples] == [float(second) for second in range(int(end_s))]
    assert sum(one.rps for one in samples) == len(requests)
    assert sum(one.concurrency for one in samples) == pytest.approx(
        sum(duration_s for _, duration_s in requests), abs=2e-6 * len(requests)
    )
    assert load.is_quiet


def test_requests_that_end_together_leave_at_once() -> None:
    load = LoadSampler()
    for _ in range(3):
        load.arrived(250_000)
    load.finished(750_000, 3)
    load.arrived(3_500_000)
    samples = load.take(4_000_000)
    assert [(sample.t_s, sample.concurrency, sample.rps) for sample in samples] == [
        (0.0, 1.5, 3.0),
        (1.0, 0.0, 0.0),
        (2.0, 0.0, 0.0),
        (3.0, 0.5, 1.0),
    ]
    assert not load.is_quiet


def test_what_missed_its_objective_counts_in_the_second_in_which_it_ended() -> None:
    load = LoadSampler()
    for _ in range(4):
        load.arrived(250_000)
    load.finished(750_000, missed=1)  # refused
    load.finished(1_000_000, 2, missed=2)  # late, in the very next second
    load.finished(2_500_000)
    assert [sample.missed for sample in load.take(5_000_000)] == [1.0, 2.0, 0.0, 0.0, 0.0]
