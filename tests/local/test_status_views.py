"""The tables of `dilu up` and `dilu ps` on terminals of different widths."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from dilu_autoscaler.local.status_table import replica_table, status_view

FUNCTION: dict[str, Any] = {
    "name": "sentences",
    "desired": 3,
    "ready": 2,
    "replicas": [
        {"id": "sentences-1", "state": "ready", "pid": 4194303, "port": 65535, "in_flight": 12, "restarts": 0},
        {"id": "sentences-2", "state": "starting", "pid": None, "port": None, "in_flight": 0, "restarts": 7},
    ],
    "rps": 1234.0,
    "waiting": 17,
    "p50_ms": 12.34,
    "p95_ms": 123.4,
    "slo_attainment": 0.987,
    "requests": 123456,
    "errors": 3,
    "abandoned": 9,
    "explanation": "2 -> 3 replicas: load: 1234 rps with 500 rps a replica, two seconds in a row",
}
STATUS: dict[str, Any] = {"name": "shop", "gateway": {"url": "http://127.0.0.1:8080"}, "functions": [FUNCTION]}


def _lines(view: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    with console.capture() as capture:
        console.print(view)
    lines = capture.get().splitlines()
    assert max(len(line) for line in lines) <= width
    return lines


@pytest.mark.parametrize(
    ("width", "headings"),
    [
        (40, "function replicas waiting"),
        (80, "function replicas rps waiting p50 ms p95 ms in SLO errors"),
        (120, "function replicas rps waiting p50 ms p95 ms in SLO requests errors abandoned"),
    ],
)
def test_what_has_no_room_is_left_out_whole(width: int, headings: str) -> None:
    lines = _lines(status_view(STATUS), width)
    assert " ".join(lines[1].split()) == headings
    assert " ".join(lines[2].split()).startswith("sentences 2/3 1 starting")
    assert "…" not in lines[1] + lines[2]


def test_numbers_stand_below_their_headings() -> None:
    lines = _lines(status_view(STATUS), 120)
    cells = lines[2].split()
    assert cells == ["sentences", "2/3", "1", "starting", "1234", "17", "12.3", "123", "98.7", "%", "123456", "3", "9"]


@pytest.mark.parametrize(
    ("width", "headings"),
    [(20, "replica state"), (40, "replica state pid"), (80, "replica state pid port in flight restarts")],
)
def test_replicas_keep_their_names_and_states(width: int, headings: str) -> None:
    lines = _lines(replica_table(STATUS), width)
    assert " ".join(lines[0].split()) == headings
    assert "sentences-1" in lines[1] or width < 21
