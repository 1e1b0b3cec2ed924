"""Counts of the last second, histograms, totals: hand-computed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dilu.runtime.execution.server_cost import ServerCost
from dilu.runtime.reporting.last_second import LastSecond
from dilu.runtime.reporting.metrics import FunctionMetrics, Histogram


def test_the_last_second_is_ten_complete_tenths() -> None:
    events = LastSecond()
    for now_s in (100.05, 100.05, 100.55, 101.05):
        events.add(now_s)
    assert events.per_second(101.05) == 3.0, "the tenth that runs is not complete"
    assert events.per_second(101.15) == 2.0, "100.05 has left, 101.05 has come"
    assert events.per_second(101.55) == 2.0
    assert events.per_second(101.65) == 1.0
    assert events.per_second(102.15) == 0.0


def test_a_long_pause_leaves_nothing_behind() -> None:
    events = LastSecond()
    events.add(5.0)
    assert events.per_second(5000.0) == 0.0


@given(st.lists(st.integers(0, 5000), max_size=200).map(sorted))
def test_the_last_second_is_never_more_than_came_in_it(times_ms: list[int]) -> None:
    events = LastSecond()
    for time_ms in times_ms:
        events.add(time_ms / 1000)
    now_ms = times_ms[-1] if times_ms else 0
    within = sum(now_ms - time_ms <= 1200 for time_ms in times_ms)
    surely = sum(200 <= now_ms - time_ms < 900 for time_ms in times_ms)
    assert surely <= events.per_second(now_ms / 1000) <= within


def test_histogram_bounds_are_inclusive() -> None:
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 3.0):
        histogram.observe(value)
    assert histogram.cumulative() == [("1.0", 2), ("2.0", 4), ("+Inf", 5)]
    assert histogram.total == 8.0


def finish(metrics: FunctionMetrics, code: int, latency_s: float) -> None:
    metrics.arrived(10.0)
    metrics.finished(code, 10.0 + latency_s, 10.0, 10.0)


def test_the_objective_counts_what_callers_felt() -> None:
    metrics = FunctionMetrics("f", slo_s=0.1)
    finish(metrics, 200, 0.1)
    finish(metrics, 200, 0.101)
    finish(metrics, 500, 0.01)
    finish(metrics, 429, 0.01)
    finish(metrics, 503, 0.01)
    finish(metrics, 422, 0.01)
    finish(metrics, 413, 0.01)
    assert (metrics.slo_met, metrics.slo_missed) == (1, 4), "a client's own mistake is neither"
    assert metrics.totals() == {
        "requests": 7,
        "completed": 2,
        "failed": 1,
        "refused": 2,
        "slo_met": 1,
        "slo_missed": 4,
    }
    assert metrics.in_flight == 0


def test_without_an_objective_nothing_is_missed() -> None:
    metrics = FunctionMetrics("f", slo_s=None)
    finish(metrics, 200, 100.0)
    finish(metrics, 500, 100.0)
    assert (metrics.slo_met, metrics.slo_missed) == (0, 0)


def test_the_servers_own_cost_is_learned_from_enough_requests() -> None:
    cost = ServerCost(1.0)

    def limit_after(requests: int, thread_s: float) -> int | None:
        cost.update(requests, thread_s)
        return None if cost.limit_rps is None else round(cost.limit_rps)

    assert limit_after(49, 1.1) is None
    assert limit_after(100, 1.01) == 10_000
    assert limit_after(120, 99.0) == 10_000, "twenty requests say nothing"
    assert limit_after(200, 1.03) == round(1 / (0.7 * 0.0001 + 0.3 * 0.0002))
