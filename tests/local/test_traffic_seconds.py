"""What the gateway saw, second by second, and how answers are summed up."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.local.traffic import Outcomes, Seconds
from dilu_autoscaler.policy.horizontal import Sample


def test_a_request_counts_in_the_second_in_which_it_came() -> None:
    seconds = Seconds(10.2)
    seconds.arrived(10.5)
    seconds.finished(10.75)
    seconds.arrived(11.5)
    seconds.finished(12.5)
    assert [(one.t_s, one.rps, one.concurrency) for one in seconds.take(13.0)] == [
        (10.0, 1.0, 0.25),
        (11.0, 1.0, 0.5),
        (12.0, 0.0, 0.5),
    ]


def test_a_second_is_handed_out_once_and_only_when_it_is_over() -> None:
    seconds = Seconds(10.0)
    seconds.arrived(10.1)
    assert seconds.take(10.9) == ()
    assert [one.t_s for one in seconds.take(11.0)] == [10.0]
    assert seconds.take(11.5) == ()


def test_quiet_seconds_are_zeros_and_long_requests_are_not_quiet() -> None:
    seconds = Seconds(10.0)
    assert [(one.rps, one.concurrency) for one in seconds.take(13.5)] == [(0.0, 0.0)] * 3
    seconds.arrived(13.5)
    assert [one.concurrency for one in seconds.take(16.0)] == [0.5, 1.0, 1.0]
    assert not seconds.is_quiet


def test_a_quiet_day_is_not_counted_second_by_second() -> None:
    seconds = Seconds(0.0)
    samples = seconds.take(10_000_000.5)
    assert len(samples) == 3600
    assert samples[-1].t_s == 9_999_999.0
    assert seconds.last_second(10_000_000.5) == samples[-1]


@given(
    st.lists(st.tuples(st.floats(min_value=0.0, max_value=3.0), st.floats(min_value=0.0, max_value=5.0)), max_size=30),
    st.lists(st.floats(min_value=0.0, max_value=100.0), max_size=5),
)
def test_no_request_and_no_time_in_flight_is_lost(requests: list[tuple[float, float]], looks_s: list[float]) -> None:
    """(gap to the one before, duration) of each request, looked at whenever: sums stay sums."""
    seconds = Seconds(0.0)
    at_s, events = 0.0, []
    for gap_s, duration_s in requests:
        at_s += gap_s
        events += [(at_s, 0), (at_s + duration_s, 1)]
    end_s = math.ceil(max([time_s for time_s, _ in events], default=0.0)) + 1.0
    events += [(look_s, 2) for look_s in looks_s if look_s < end_s]
    samples: list[Sample] = []
    for time_s, kind in sorted(events):
        if kind == 2:
            samples += seconds.take(time_s)
        else:
            (seconds.arrived, seconds.finished)[kind](time_s)
    samples += seconds.take(end_s)
    assert [one.t_s for one in samples] == [float(second) for second in range(int(end_s))]
    assert sum(one.rps for one in samples) == len(requests)
    assert sum(one.concurrency for one in samples) == pytest.approx(sum(duration_s for _, duration_s in requests))
    assert seconds.is_quiet


def test_errors_miss_the_objective() -> None:
    outcomes = Outcomes(slo_ms=100.0)
    for latency_s in (0.05, 0.1, 0.2):
        outcomes.answered(1.0, latency_s)
    outcomes.failed()
    assert (outcomes.requests, outcomes.errors) == (4, 1)
    assert outcomes.slo_attainment == 0.5


def test_clients_mistakes_are_requests_that_the_objective_leaves_out() -> None:
    outcomes = Outcomes(slo_ms=100.0)
    outcomes.answered(1.0, 0.2)
    outcomes.rejected()
    assert (outcomes.requests, outcomes.errors, outcomes.slo_attainment) == (2, 0, 0.0)
    assert outcomes.percentiles_ms(1.0) == (200.0, 200.0)


def test_a_client_that_gave_up_missed_the_objective_only_if_it_was_late_by_then() -> None:
    outcomes = Outcomes(slo_ms=100.0)
    attainments = []
    for latency_s in (0.1, 0.11):
        outcomes.gave_up(latency_s)
        attainments.append(outcomes.slo_attainment)
    assert attainments == [None, 0.0]
    assert (outcomes.requests, outcomes.abandoned, outcomes.errors) == (2, 2, 0)


def test_without_an_objective_or_a_request_there_is_no_attainment() -> None:
    assert Outcomes(slo_ms=100.0).slo_attainment is None
    outcomes = Outcomes(slo_ms=None)
    outcomes.answered(1.0, 0.05)
    assert outcomes.slo_attainment is None


def test_percentiles_are_of_the_last_half_minute() -> None:
    outcomes = Outcomes(slo_ms=None)
    outcomes.answered(0.0, 9.0)
    for number in range(1, 101):
        outcomes.answered(50.0, number / 1000.0)
    assert outcomes.percentiles_ms(60.0) == (50.0, 95.0)
    assert outcomes.percentiles_ms(81.0) is None
