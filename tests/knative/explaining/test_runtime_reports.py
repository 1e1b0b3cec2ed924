from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.scraping.runtime_reports import FRESH_S, Dated, RuntimeReport, read_report, together

ANSWER: dict[str, Any] = {
    "function": "embed",
    "replica": None,
    "state": "ready",
    "window_s": 1.0,
    "arrivals_rps": 40.0,
    "refused_rps": 2.5,
    "completed_rps": 37.0,
    "in_flight": 9,
    "queue_depth": 7,
    "oldest_wait_s": 0.25,
    "batch_size_mean": 3.5,
    "execution": {"fixed_s": 0.01, "per_item_s": 0.002, "batches": 100},
    "learned_rps": 80.0,
    "max_in_flight": 64,
    "totals": {"requests": 1000, "completed": 990, "failed": 0, "refused": 10, "slo_met": 5, "slo_missed": 5},
}


def report(
    *, queue: int = 0, in_flight: int = 0, refused: float = 0.0, capacity: float | None = None, state: str = "ready"
) -> RuntimeReport:
    return RuntimeReport(state=state, in_flight=in_flight, queue_depth=queue, refused_rps=refused, learned_rps=capacity)


def dated(at_s: float = 100.0, **numbers: Any) -> Dated:
    return Dated(report=report(**numbers), at_s=at_s)


def test_what_counts_is_read_and_the_rest_is_not() -> None:
    assert read_report(json.dumps(ANSWER).encode()) == RuntimeReport(
        state="ready", in_flight=9, queue_depth=7, refused_rps=2.5, oldest_wait_s=0.25, learned_rps=80.0
    )


def test_a_replica_that_knows_little_is_read_too() -> None:
    said = {**ANSWER, "learned_rps": None}
    for missing in ("refused_rps", "oldest_wait_s", "state"):
        del said[missing]
    assert read_report(json.dumps(said).encode()) == RuntimeReport(in_flight=9, queue_depth=7)


def test_what_is_no_report_is_none() -> None:
    wrong = [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{}",
        b"<html>404</html>",
        json.dumps(ANSWER).encode()[:336],
        b'{"in_flight": -1, "queue_depth": 0}',
        b'{"in_flight": 1e400, "queue_depth": 0}',
        b'{"in_flight": true, "queue_depth": 0}',
        b'{"in_flight": 1, "queue_depth": 0, "learned_rps": NaN}',
        b'{"in_flight": 1, "queue_depth": 0, "learned_rps": "fast"}',
        b'{"in_flight": 1, "queue_depth": 99999999999999999999999}',
        b'{"in_flight": 1, "queue_depth": 0, "state": "\xff"}',
        b'{"a":' * 100_000,
    ]
    assert [read_report(data) for data in wrong] == [None] * len(wrong)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_report_or_none(data: bytes) -> None:
    assert read_report(data) is None or data.strip().startswith(b"{")


def test_queues_refusals_and_waits_of_all_replicas_are_one_revisions() -> None:
    stats = together(
        {
            "a": Dated(report=RuntimeReport(in_flight=3, queue_depth=2, refused_rps=0.5, oldest_wait_s=0.1), at_s=99.0),
            "b": Dated(
                report=RuntimeReport(in_flight=5, queue_depth=4, refused_rps=1.0, oldest_wait_s=0.7), at_s=100.0
            ),
        },
        pods=3,
        now_s=100.5,
    )
    assert stats is not None
    assert (stats.pods, stats.answered, stats.queue_depth, stats.refused_rps) == (3, 2, 6, 1.5)
    assert (stats.in_flight, stats.oldest_wait_s, stats.age_s) == ({"a": 3, "b": 5}, 0.7, 1.5)


def test_a_replicas_capacity_is_the_mean_of_those_that_know() -> None:
    stats = together(
        {
            "a": dated(capacity=60.0),
            "b": dated(capacity=100.0),
            "c": dated(),
            "d": dated(capacity=500.0, state="draining"),
            "e": dated(capacity=0.0),
        },
        pods=5,
        now_s=100.0,
    )
    assert stats is not None
    assert stats.learned_rps == 80.0


def test_next_to_nothing_is_no_capacity() -> None:
    """A load divided by it would be no number of replicas."""
    for text in (b"5e-324", b"1e-300", b"9e-7"):
        report = read_report(b'{"in_flight": 0, "queue_depth": 0, "learned_rps": %s}' % text)
        assert report is not None
        stats = together({"a": Dated(report=report, at_s=0.0)}, pods=1, now_s=0.0)
        assert stats is not None
        assert stats.learned_rps is None


def test_the_capacity_is_not_known_before_the_first_batch() -> None:
    stats = together({"a": dated()}, pods=1, now_s=100.0)
    assert stats is not None
    assert stats.learned_rps is None


def test_old_reports_do_not_count_and_only_old_ones_are_nothing() -> None:
    reports = {"a": dated(100.0, queue=1), "b": dated(102.0, queue=10)}
    at_the_edge = together(reports, pods=2, now_s=100.0 + FRESH_S)
    after_it = together(reports, pods=2, now_s=100.1 + FRESH_S)
    assert at_the_edge is not None
    assert after_it is not None
    assert (at_the_edge.queue_depth, after_it.queue_depth, after_it.answered) == (11, 10, 1)
    assert together(reports, pods=2, now_s=105.1) is None
    assert together({}, pods=2, now_s=100.0) is None


def test_reports_from_before_the_clock_was_set_back_do_not_count() -> None:
    assert together({"a": dated(5000.0)}, pods=1, now_s=100.0) is None
