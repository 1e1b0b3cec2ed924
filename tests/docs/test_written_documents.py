"""What a script writes is current: figures from the results, the picture; and the glossary holds each term once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import draw_overview
import write_benchmarks

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()


def test_the_pages_of_figures_are_what_the_results_say() -> None:
    results = write_benchmarks.load_results()
    remedy = "run: python tools/write_benchmarks.py"
    assert write_benchmarks.DOCUMENT.read_text() == write_benchmarks.document(results), remedy
    readme = write_benchmarks.README.read_text()
    assert readme == write_benchmarks.with_headlines(readme, results), remedy
    assert readme.count("headline: begin") == 1


def row(value: float, peer_value: float | None, unit: str, peer: str | None = "nginx") -> dict[str, Any]:
    ratio = value / peer_value if peer_value else None
    return {"metric": "m", "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}


@pytest.mark.parametrize(
    ("figure", "behind"),
    [
        pytest.param(row(98, 100, "rps"), True, id="a lower rate"),
        pytest.param(row(99.5, 100, "rps"), False, id="a rate within the tolerance"),
        pytest.param(row(102, 100, "rps"), False, id="a higher rate"),
        pytest.param(row(102, 100, "ms"), True, id="a longer time"),
        pytest.param(row(98, 100, "ms"), False, id="a shorter time"),
        pytest.param(row(90, -2, "us"), True, id="added time where the peer's is below the noise"),
        pytest.param(row(98, 100, "rps", "bare server"), False, id="a limit is no competitor"),
        pytest.param(row(98, None, "rps", None), False, id="no peer"),
    ],
)
def test_a_peer_that_is_better_is_marked(figure: dict[str, Any], behind: bool) -> None:
    assert write_benchmarks.is_behind(figure) is behind


def test_losses_and_missed_goals_stand_first() -> None:
    missed = {**row(120, None, "ms", None), "goal": "value <= 100", "met": False}
    machine = {"date_utc": "2026-01-02T", "cores": 2, "cpu": "c", "load_average_at_start": 0.1, "commit": None}
    results = {"b": {"quick": False, "machine": machine, "rows": [row(50, 100, "rps"), row(2, 1, "rps"), missed]}}
    first = write_benchmarks.document(results).split("\n## ")[1]
    assert [line for line in first.splitlines() if line.startswith("| b ")] == [
        "| b | m | 50 requests/s | nginx | 100 requests/s | 0.5 ×, **behind** |  |",
        "| b | m | 120 ms |  |  |  | value <= 100: **not met** |",
    ]


def test_the_picture_is_what_the_script_draws() -> None:
    assert draw_overview.OUTPUT.read_text() == draw_overview.picture(), "run: python tools/draw_overview.py"


def test_the_glossary_holds_each_term_once_in_order() -> None:
    terms = re.findall(r"^\| \*\*(.+?)\*\* \|", GLOSSARY, re.MULTILINE)
    assert terms == sorted(set(terms), key=lambda term: term.casefold().lstrip("`"))
