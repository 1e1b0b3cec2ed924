"""The demo's load fits the machine, and its report marks what was refused."""

from __future__ import annotations

import pytest
from examples.embeddings.demo_capacity import MachineCapacity, burst_rps
from examples.embeddings.demo_report import closing_line, outcome

from dilu.load.results import Record


@pytest.mark.parametrize(
    ("one_rps", "two_rps", "want"),
    [
        pytest.param(100, 200, 140, id="room for two replicas: 1.4 times what one answers"),
        pytest.param(100, 150, 128, id="little room: 0.85 of what two answer"),
        pytest.param(100, 110, 110, id="no room: still more than one answers"),
    ],
)
def test_the_burst_needs_two_replicas_and_fits_them(one_rps: float, two_rps: float, want: int) -> None:
    assert burst_rps(MachineCapacity(one_rps=one_rps, two_rps=two_rps)) == want


def record(status: int | None, latency_s: float = 0.1, error: str | None = None) -> Record:
    return Record(index=0, request_id="r", due_s=1, sent_s=1, finished_s=1 + latency_s, status=status, error=error)


@pytest.mark.parametrize(
    ("one", "want"),
    [
        (record(200, 0.25), "in time"),
        (record(200, 0.26), "late"),
        (record(429, 0.001), "refused"),
        (record(500), "error"),
        (record(None, error="timeout"), "error"),
    ],
)
def test_each_request_has_an_outcome(one: Record, want: str) -> None:
    assert outcome(one, slo_ms=250) == want


def test_the_closing_line_says_what_was_met() -> None:
    records = [record(200)] * 7 + [record(200, 0.5), record(429), record(500)]
    assert closing_line(records, [0, 0, 1, 1, 2, 1, 0], slo_ms=250) == (
        "7 of 10 requests answered within 250 ms (70.0 %), 1 late (10.0 %), "
        "1 refused at once, as they would have been late (10.0 %), 1 errors (10.0 %); replicas 0 -> 1 -> 2 -> 1 -> 0"
    )
