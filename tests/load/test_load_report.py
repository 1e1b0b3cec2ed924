"""The numbers of a run, against values worked out by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.load.arrivals import Arrivals, RecordedArrivals, constant
from dilu.load.formats import progress_line, record_lines, table
from dilu.load.generator import LoadProgress
from dilu.load.plan import LoadPlan
from dilu.load.report import Summary, percentile, spread, summarize
from dilu.load.results import INTERRUPTED, LoadResult, Record


def record(
    index: int,
    *,
    due_s: float = 0.0,
    lag_s: float | None = 0.0,
    latency_s: float = 0.010,
    status: int | None = 200,
    error: str | None = None,
) -> Record:
    return Record(
        index=index,
        request_id=f"r-{index}",
        due_s=due_s,
        sent_s=None if lag_s is None else due_s + lag_s,
        finished_s=due_s + latency_s,
        status=status,
        error=error,
    )


def summary_of(
    *records: Record,
    slo_ms: float | None = None,
    arrivals: Arrivals | None = None,
    elapsed_s: float = 10.0,
    slot_waits: int = 0,
    stopped: bool = False,
) -> Summary:
    plan = LoadPlan(url="http://h/", arrivals=arrivals or constant(1, 10), slo_ms=slo_ms, max_in_flight=7)
    return summarize(
        LoadResult(
            plan=plan,
            records=records,
            started_unix_s=1.5,
            elapsed_s=elapsed_s,
            slot_waits=slot_waits,
            stopped=stopped,
        )
    )


def test_percentiles_are_nearest_rank() -> None:
    found = spread([second / 1000 for second in range(100, 0, -1)])  # 1 to 100 ms
    assert found is not None
    assert (found.p50, found.p90, found.p95, found.p99, found.max) == (50.0, 90.0, 95.0, 99.0, 100.0)
    assert found.mean == pytest.approx(50.5)


@pytest.mark.parametrize(
    ("count", "percent", "rank"),
    [
        (1, 50, 1),
        (1, 99, 1),
        (2, 50, 1),
        (2, 51, 2),
        (3, 100, 3),
        (10, 95, 10),
        (10, 90, 9),
        (20, 95, 19),
        (200, 99, 198),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(count: int, percent: int, rank: int) -> None:
    assert percentile(range(1, count + 1), percent) == rank


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_at_least_that_share_took_no_longer_and_the_value_below_would_not_do(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    found = percentile(ordered, percent)
    assert 100 * sum(value <= found for value in ordered) >= percent * len(ordered)
    assert 100 * sum(value < found for value in ordered) < percent * len(ordered)


def test_latency_counts_from_due_and_service_from_sent() -> None:
    found = summary_of(record(0, due_s=1.0, lag_s=0.25, latency_s=1.0))
    assert found.latency_ms is not None
    assert found.service_ms is not None
    assert found.send_lag_ms is not None
    assert (found.latency_ms.max, found.service_ms.max, found.send_lag_ms.max) == (1000.0, 750.0, 250.0)


def test_failures_are_counted_by_kind_and_kept_out_of_the_percentiles() -> None:
    found = summary_of(
        record(0),
        record(1, latency_s=9.0, status=503),
        record(2, latency_s=9.0, status=503),
        record(3, latency_s=0.001, status=None, error="refused"),
        record(4, latency_s=9.0, status=200, error="cut-off"),
        record(5, latency_s=9.0, status=302),
    )
    assert (found.scheduled, found.ok, found.failed) == (6, 1, 5)
    assert found.status == {"200": 2, "503": 2, "302": 1}
    assert list(found.errors.items()) == [("http-503", 2), ("cut-off", 1), ("http-302", 1), ("refused", 1)]
    assert found.latency_ms is not None
    assert found.latency_ms.max == pytest.approx(10.0)


def test_a_failure_misses_the_objective_however_fast_it_was() -> None:
    found = summary_of(
        record(0, latency_s=0.060),
        record(1, latency_s=0.0601),
        record(2, latency_s=0.001, status=503),
        record(3, latency_s=0.001, status=None, error="refused"),
        slo_ms=60,
    )
    assert found.slo is not None
    assert (found.slo.met, found.slo.missed, found.slo.attainment_ratio) == (1, 3, 0.25)


def test_requests_cut_short_miss_the_objective_only_if_they_were_late_by_then() -> None:
    found = summary_of(
        record(0),
        record(1, latency_s=0.059, status=None, error=INTERRUPTED),
        record(2, latency_s=0.5, status=None, error=INTERRUPTED),
        record(3, lag_s=None, latency_s=0.4, status=None, error=INTERRUPTED),
        slo_ms=60,
        stopped=True,
        elapsed_s=2.0,
    )
    assert found.slo is not None
    assert (found.slo.met, found.slo.missed) == (1, 2)
    assert (found.failed, found.interrupted, found.errors) == (0, 3, {})
    assert found.duration_s == 2.0
    assert "ended early" in table(found)


def test_rates_are_over_the_planned_time_and_over_the_real_one() -> None:
    found = summary_of(*(record(index) for index in range(30)), record(30, status=500), elapsed_s=15.0)
    assert (found.offered_rps, found.achieved_rps) == (3.1, 2.0)
    early = summary_of(*(record(index) for index in range(30)), elapsed_s=9.1)
    assert early.achieved_rps == 3.0


def test_a_run_without_requests_has_no_latencies_and_no_attainment() -> None:
    found = summary_of(arrivals=RecordedArrivals(at_s=()), slo_ms=60, elapsed_s=0.0)
    assert (found.scheduled, found.latency_ms, found.offered_rps, found.achieved_rps) == (0, None, None, None)
    assert found.slo is not None
    assert found.slo.attainment_ratio is None
    assert "0 due, 0 ok, 0 failed" in table(found)


def test_a_late_generator_is_reported() -> None:
    on_time = summary_of(*(record(index, lag_s=0.009) for index in range(100)))
    assert on_time.warnings == ()
    once = summary_of(*(record(index, lag_s=0.5 if index == 0 else 0.0) for index in range(100)))
    assert once.warnings == ()
    late = summary_of(*(record(index, lag_s=0.5 if index < 2 else 0.0) for index in range(100)))
    assert late.warnings == ("the generator itself was late, send lag p99 500.0 ms; the latency includes it",)


def test_lateness_for_want_of_slots_is_reported_as_that() -> None:
    found = summary_of(*(record(index, lag_s=0.5) for index in range(100)), slot_waits=90)
    assert [warning[:62] for warning in found.warnings] == [
        "90 requests waited because 7 were in flight already (--max-in-"
    ]


def test_timeouts_and_limits_of_this_machine_are_pointed_out() -> None:
    found = summary_of(
        record(0, status=None, error="timeout"),
        record(1, status=None, error="open-files"),
        record(2, status=None, error="local-ports"),
    )
    assert [warning.split(";")[0] for warning in found.warnings] == [
        "1 requests timed out after 30 s",
        "this machine ran out of open files (`ulimit -n`)",
        "this machine ran out of local ports",
    ]


def test_json_is_one_object_on_one_line() -> None:
    text = summary_of(record(0, latency_s=0.1234567891), slo_ms=60).to_json()
    assert "\n" not in text
    found = json.loads(text)
    assert found["latency_ms"]["p99"] == 123.456789
    assert found["slo"] == {"slo_ms": 60, "met": 0, "missed": 1, "attainment_ratio": 0.0}
    assert found["percentile_method"] == "nearest-rank"
    assert found["warnings"] == []


def test_the_table_shows_what_people_look_for() -> None:
    text = table(summary_of(record(0), record(1, status=503), slo_ms=60))
    assert text.splitlines() == [
        "GET http://h/, seed 0",
        "requests    2 due, 1 ok, 1 failed",
        "rate        0.2 rps offered, 0.1 rps achieved, 10.0 s",
        "ms               mean      p50      p90      p95      p99      max",
        "latency          10.0     10.0     10.0     10.0     10.0     10.0  from the time due",
        "service          10.0     10.0     10.0     10.0     10.0     10.0  from the time sent",
        "send lag          0.0      0.0      0.0      0.0      0.0      0.0",
        "status      200: 1  503: 1",
        "errors      http-503: 1",
        "SLO 60 ms   50.00 % met (1 met, 1 missed)",
    ]


def test_record_lines_hold_one_object_a_request() -> None:
    first, second = (
        json.loads(line)
        for line in record_lines(
            [record(0, due_s=1.0), record(1, lag_s=None, status=None, error=INTERRUPTED, latency_s=2.0)]
        )
    )
    assert first == {
        "index": 0,
        "request_id": "r-0",
        "due_s": 1.0,
        "sent_s": 1.0,
        "finished_s": 1.01,
        "latency_ms": 10.0,
        "status": 200,
        "error": None,
        "ok": True,
        "received_bytes": 0,
    }
    assert (second["sent_s"], second["error"], second["ok"]) == (None, "interrupted", False)


def test_progress_names_a_backlog_only_when_there_is_one() -> None:
    progress = LoadProgress(elapsed_s=12.3, duration_s=30.0, ok=600, failed=1, in_flight=3, behind_s=0.0)
    assert progress_line(progress) == "12/30 s  ok 600  failed 1  in flight 3"
    behind = LoadProgress(elapsed_s=12.3, duration_s=30.0, ok=600, failed=1, in_flight=3, behind_s=2.0)
    assert progress_line(behind).endswith("  behind 2.0 s")
