"""Kept results have one shape, and the table in the documents is made of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.goals import Goal
from harness.headlines import README, with_headlines
from harness.results import RESULTS
from harness.tables import PAGE, between_marks, kept_results, render_table

KEPT = sorted(path for path in RESULTS.glob("*.json") if "." not in path.stem)
KEYS = {"metric", "value", "unit", "peer", "peer_value", "ratio", "goal", "met"}
# Kept before quick runs and runs on a busy machine had files of their own. An entry leaves with its next full run.
QUICK_RUNS = {"adaptive_batching", "admission", "gateway", "sdk_protocols"}
WITHOUT_COMMIT = {path.stem for path in KEPT if "commit" not in json.loads(path.read_text())}


@pytest.fixture(params=KEPT, ids=lambda path: path.stem)
def result(request: pytest.FixtureRequest) -> dict[str, Any]:
    path: Path = request.param
    found: dict[str, Any] = json.loads(path.read_text())
    assert found["name"] == path.stem
    return found


def test_rows_have_all_keys_and_goals_are_judged_by_their_figures(result: dict[str, Any]) -> None:
    assert result["rows"]
    for row in result["rows"]:
        assert set(row) >= KEYS
        if row["goal"] is None:
            assert row["met"] is None
            continue
        goal = Goal.parse(row["goal"], tolerance=row.get("tolerance") or 0.0)
        if abs((row[goal.subject] or 0.0) - goal.limit) > 0.001 * abs(goal.limit):  # figures are rounded
            assert row["met"] == goal.is_met(value=row["value"], ratio=row["ratio"])


def test_a_kept_result_is_a_full_run_at_rest_with_its_commit(result: dict[str, Any]) -> None:
    assert result["quick"] == (result["name"] in QUICK_RUNS)
    machine = result["machine"]
    assert {"date_utc", "cpu", "cores", "load_average_at_start"} <= set(machine)
    if result["name"] in WITHOUT_COMMIT:
        return
    assert result["commit"]
    assert result["at_rest"]
    assert machine["load_average_at_start"] <= machine["max_load_average_at_start"]


def test_the_table_in_the_documents_is_made_of_the_kept_results() -> None:
    assert PAGE.read_text() == between_marks(PAGE.read_text(), render_table(kept_results()))


def test_the_numbers_of_the_readme_are_those_of_the_kept_results() -> None:
    assert README.read_text() == with_headlines(README.read_text(), kept_results())
    assert README.read_text().count("<!-- headlines -->") == 1
