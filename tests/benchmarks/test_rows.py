"""Rows: medians and spreads of repeats, goals with tolerances, verdicts, and where a result is kept."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import pytest

from harness.goals import Goal
from harness.results import result_path, write_result
from harness.rows import row
from harness.start import Start, wait_for_rest
from harness.tables import between_marks, conditions, render_table, verdict


@pytest.mark.parametrize(
    ("goal", "tolerance", "value", "ratio", "met"),
    [
        pytest.param("value <= 200", 0.0, 200.0, None, True, id="at the limit"),
        pytest.param("value <= 200", 0.0, 200.1, None, False, id="above it"),
        pytest.param("ratio <= 1", 0.01, None, 1.01, True, id="within the tolerance"),
        pytest.param("ratio <= 1", 0.01, None, 1.011, False, id="beyond the tolerance"),
        pytest.param("ratio >= 1", 0.02, None, 0.98, True, id="tolerance below a lower limit"),
        pytest.param("ratio >= 1", 0.02, None, 0.979, False, id="beyond it"),
        pytest.param("value <= -10", 0.1, -9.0, None, True, id="tolerance of a negative limit"),
        pytest.param("value == 0", 0.0, 0.0, None, True, id="equal"),
        pytest.param("ratio >= 1", 0.0, 5.0, None, False, id="no peer"),
    ],
)
def test_goals(goal: str, tolerance: float, value: float | None, ratio: float | None, met: bool) -> None:
    assert Goal.parse(goal, tolerance=tolerance).is_met(value=value, ratio=ratio) is met


@pytest.mark.parametrize(
    ("text", "tolerance"), [("speed >= 1", 0.0), ("value > 1", 0.0), ("value == 1", 0.1), ("value <= 1", -0.1)]
)
def test_goals_that_cannot_be_read(text: str, tolerance: float) -> None:
    with pytest.raises(ValueError, match="must be"):
        Goal.parse(text, tolerance=tolerance)


def test_a_row_of_repeats_has_median_spread_and_the_count_of_met_repeats() -> None:
    found = row("tick", [201.0, 196.0, 199.0], "ms", peer="peer", peer_value=[100.0, 97.0, 398.0], goal="ratio <= 2")
    assert (found["value"], found["peer_value"], found["ratio"], found["met"]) == (199.0, 100.0, 1.99, True)
    assert found["spread"] == {
        "repeats": 3,
        "min": 196.0,
        "max": 201.0,
        "peer_min": 97.0,
        "peer_max": 398.0,
        "met": 1,  # 2.01, 2.02, 0.5: each beside the peer of its turn
    }


def test_a_row_of_one_figure_has_no_spread() -> None:
    found = row("day", 77.9, "s", goal="value <= 60")
    assert (found["value"], found["met"], found["spread"], found["ratio"]) == (77.9, False, None, None)


@pytest.mark.parametrize(("value", "peer"), [(91.4, -1.95), (-4.0, 1205.0), (1210.0, 0.0), (None, 1.0), (1.0, None)])
def test_there_is_no_ratio_of_figures_that_allow_none(value: float | None, peer: float | None) -> None:
    assert row("added", value, "us", peer="peer", peer_value=peer)["ratio"] is None


def test_a_missing_figure_is_null_and_its_goal_is_not_met() -> None:
    assert row("p99", math.nan, "ms", goal="value <= 60")["value"] is None
    assert row("p99", [], "ms", goal="value <= 60")["met"] is False


@pytest.mark.parametrize(
    ("value", "peer", "unit", "want"),
    [
        (110.0, 100.0, "rps", "better"),
        (90.0, 100.0, "rps", "worse"),
        (101.0, 100.0, "rps", "same"),
        (90.0, 100.0, "us", "better"),
        (91.4, -1.95, "us", "worse"),
        (-1.95, -1.95, "us", "same"),
        (0.0, 0.0, "requests", "same"),
        (1210.0, 0.0, "rps", "better"),
        (1.0, None, "us", ""),
    ],
)
def test_verdicts(value: float, peer: float | None, unit: str, want: str) -> None:
    assert verdict(row("x", value, unit, peer="peer", peer_value=peer)) == want


def kept(**changes: Any) -> dict[str, Any]:
    machine = {"date_utc": "2026-01-02T03:04:05+00:00", "cpu": "Some", "cores": 2, "load_average_at_start": 0.1}
    rows = [
        row("rate", 90.0, "rps", peer="peer", peer_value=100.0, goal="ratio >= 1"),
        row("rate", 90.0, "rps", peer="kernel", peer_value=100.0, goal="ratio >= 0.9"),
    ]
    result = {"name": "echo", "quick": False, "commit": "abcdef0123456789", "dirty": False, "machine": machine}
    return {**result, "rows": rows, **changes}


def test_the_table_lists_losses_and_missed_goals_first() -> None:
    worse, missed, every = render_table([kept()]).split("\n### ")[1:]
    loss = "| rate | 90 rps | peer | 100 rps | 0.9 × | **worse** | ratio >= 1: **not met** |"
    assert f"| `echo` {loss}" in worse
    assert f"| `echo` {loss}" in missed
    assert "kernel" not in worse + missed
    assert loss in every
    assert "| rate | 90 rps | kernel (limit) | 100 rps | 0.9 × | worse | ratio >= 0.9: met |" in every


@pytest.mark.parametrize(
    ("result", "want"),
    [
        (kept(), "2026-01-02, Some, 2 cores, commit `abcdef012345`, load 0.1 at the start."),
        (kept(dirty=True), "commit `abcdef012345` with local changes,"),
        (kept(commit=None), "no commit recorded,"),
        (kept(quick=True), "**Quick run, not for publishing.** 2026"),
        (kept(machine={**kept()["machine"], "load_average_at_start": 0.6}), "**The machine was not at rest.** 2026"),
    ],
)
def test_conditions_of_a_result(result: dict[str, Any], want: str) -> None:
    assert want in conditions(result)


def test_the_table_stands_between_its_marks() -> None:
    page = between_marks("# Benchmarks\n", "one\n")
    assert page == "# Benchmarks\n\n<!-- table -->\none\n<!-- end of table -->\n"
    assert between_marks(f"{page}after\n", "two\n") == page.replace("one", "two") + "after\n"


@pytest.mark.parametrize(
    ("quick", "at_rest", "want"),
    [(False, True, "echo.json"), (False, False, "echo.busy.json"), (True, True, "echo.quick.json")],
)
def test_only_a_full_run_at_rest_replaces_a_published_result(quick: bool, at_rest: bool, want: str) -> None:
    assert result_path("echo", quick=quick, at_rest=at_rest).name == want


@pytest.mark.parametrize(("load", "want"), [(0.5, "echo.json"), (0.51, "echo.busy.json")])
def test_a_result_records_how_its_run_started(
    load: float, want: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = Start(load_average=load, commit="abc", dirty=True)
    rows = [row("rate", 1.0, "rps")]
    write_result("echo", rows, details={}, options=argparse.Namespace(quick=False, start=start), folder=tmp_path)
    [path] = tmp_path.iterdir()
    found = json.loads(path.read_text())
    assert (path.name, found["at_rest"], found["commit"], found["dirty"]) == (want, load <= 0.5, "abc", True)
    assert found["machine"]["load_average_at_start"] == load
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"name": "echo", "rows": rows}


def test_the_start_of_a_run_is_recorded_without_waiting() -> None:
    start = wait_for_rest(0.0)
    assert start.load_average >= 0.0
    assert (start.commit is None) == (start.dirty is None)
