"""Means with intervals, tables as text, CSV and Markdown, and verdicts on printed numbers."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import replace
from random import Random
from statistics import NormalDist

import pytest

from dilu_simulator.evaluation.comparisons import Better, Comparison, comparison_table
from dilu_simulator.evaluation.intervals import Estimate, estimate, paired, student
from dilu_simulator.evaluation.paper_values import TABLE3, PaperValue, printed
from dilu_simulator.evaluation.rendering import as_csv, as_markdown
from dilu_simulator.evaluation.tables import Cell, Column, Shown, Table, text


def test_the_interval_is_students() -> None:
    value = estimate([2.0, 4.0, 6.0])
    assert value is not None
    assert value.mean == 4.0
    assert value.half_width == pytest.approx(4.303 * 2.0 / math.sqrt(3))
    assert value.half_width is not None
    assert (value.low, value.high) == (4.0 - value.half_width, 4.0 + value.half_width)


def test_the_interval_holds_the_mean_about_95_times_in_100() -> None:
    rng = Random(7)
    drawn = [estimate([rng.gauss(3.0, 2.0) for _ in range(10)]) for _ in range(1000)]
    assert 930 <= sum(1 for value in drawn if value is not None and value.low <= 3.0 <= value.high) <= 970


def test_students_t_goes_over_to_the_normal_distribution_without_a_step() -> None:
    assert student(1) == 12.706
    assert student(30) > student(31) > student(32)
    assert student(30) - student(31) < 0.004
    assert student(100_000) == pytest.approx(NormalDist().inv_cdf(0.975), abs=1e-4)


@pytest.mark.parametrize("values", [[], [1.0, None], [1.0, math.inf], [math.nan]])
def test_what_some_run_has_not_has_no_mean(values: list[float | None]) -> None:
    assert estimate(values) is None


def test_one_value_has_no_interval() -> None:
    assert estimate([3.0]) == Estimate(mean=3.0, half_width=None)


def test_pairs_are_compared_seed_by_seed() -> None:
    assert paired([2.0, 4.0], [1.0, 2.0], as_ratio=True) == Estimate(mean=2.0, half_width=0.0)
    assert paired([3.0, 5.0], [1.0, 3.0]) == Estimate(mean=2.0, half_width=0.0)
    assert paired([1.0], [0.0], as_ratio=True) is None
    assert paired([1.0, None], [1.0, 1.0]) is None


TEXTS: list[tuple[Cell, Shown, str]] = [
    ("kpa", Shown.TEXT, "kpa"),
    (None, Shown.PERCENT, "–"),
    (Estimate(mean=7.0), Shown.COUNT, "7"),
    (Estimate(mean=7.25, half_width=0.5), Shown.COUNT, "7.2 ± 0.5"),
    (Estimate(mean=7.0, half_width=0.0), Shown.COUNT, "7"),
    (Estimate(mean=2854.4, half_width=12.0), Shown.SECONDS, "2,854 ± 12"),
    (Estimate(mean=0.0622, half_width=0.001), Shown.PERCENT, "6.22 ± 0.10 %"),
    (Estimate(mean=1.2), Shown.TIMES, "1.20×"),
    (Estimate(mean=442.0), Shown.TIMES, "442×"),
    (printed(0.1079, "Table 3"), Shown.PERCENT, "10.79 %"),
    (PaperValue(low=1.06, high=1.29, where="Fig 10"), Shown.TIMES, "1.06 to 1.29×"),
    (2.0, Shown.COUNT, "2"),
]


@pytest.mark.parametrize(("cell", "shown", "said"), TEXTS)
def test_a_cell_is_said(cell: Cell, shown: Shown, said: str) -> None:
    assert text(cell, shown) == said


TABLE = Table(
    name="small",
    title="Small",
    columns=(
        Column(name="policy", title="policy"),
        Column(name="paper", title="paper", shown=Shown.PERCENT),
        Column(name="ours", title="ours", shown=Shown.PERCENT),
    ),
    rows=(
        ("a|b", printed(0.05, "Table 3"), Estimate(mean=0.04, half_width=0.01)),
        ("c", None, None),
    ),
)


def test_csv_has_whole_numbers_and_intervals_apart() -> None:
    rows = list(csv.reader(io.StringIO(as_csv(TABLE))))
    assert rows == [
        ["policy", "paper_low", "paper_high", "ours", "ours_half_width"],
        ["a|b", "0.05", "0.05", "0.04", "0.01"],
        ["c", "", "", "", ""],
    ]


def test_markdown_has_a_title_and_numbers_to_the_right() -> None:
    assert as_markdown(TABLE) == (
        "**Small**\n\n| policy | paper | ours |\n|---|---:|---:|\n| a\\|b | 5.00 % | 4.00 ± 1.00 % |\n| c | – | – |\n"
    )


CLAIM = Comparison(
    claim="p95",
    policy="dilu",
    ours=Estimate(mean=1.0, half_width=0.2),
    paper=PaperValue(low=1.1, high=1.3, where="§5.2"),
    shown=Shown.TIMES,
    better=Better.LOWER,
)
VERDICTS: list[tuple[Better, float | None, str]] = [
    (Better.LOWER, 1.3, "reached"),
    (Better.LOWER, 1.4, "within the interval"),
    (Better.LOWER, 1.6, "not reached"),
    (Better.HIGHER, 1.1, "reached"),
    (Better.HIGHER, 1.0, "within the interval"),
    (Better.HIGHER, 0.8, "not reached"),
    (Better.EQUAL, 1.2, "reached"),
    (Better.EQUAL, 1.45, "within the interval"),
    (Better.EQUAL, 0.95, "within the interval"),
    (Better.EQUAL, 1.6, "not reached"),
    (Better.LOWER, None, "no value"),
]


@pytest.mark.parametrize(("better", "mean", "verdict"), VERDICTS)
def test_a_verdict_is_on_the_mean_first(better: Better, mean: float | None, verdict: str) -> None:
    ours = None if mean is None else Estimate(mean=mean, half_width=0.2)
    assert replace(CLAIM, better=better, ours=ours).verdict == verdict


def test_reasons_stand_once_below_the_table_for_what_is_not_reached() -> None:
    reached = replace(CLAIM, claim="p50", why="of no interest")
    missed = replace(CLAIM, ours=Estimate(mean=2.0), why="queues grow")
    table = comparison_table("small", (reached, missed, replace(missed, policy="dilu-paper")))
    assert table.note == "* *p95 (dilu); p95 (dilu-paper)*: queues grow."
    assert as_markdown(table).endswith(f"\n\n{table.note}\n")


def test_the_printed_means_of_table_3_follow_from_its_rows() -> None:
    def mean_less(policy: str, field: str) -> float:
        less: list[float] = [
            1 - getattr(row["dilu-paper"], field).low / getattr(row[policy], field).low for row in TABLE3.values()
        ]
        return sum(less) / len(less)

    # The text: 75 to 77 % fewer cold starts, 46 to 67 % fewer violations, than INFless+ and FaST-GS+.
    assert mean_less("infless", "cold_starts") == pytest.approx(0.75, abs=0.005)
    assert mean_less("eager", "cold_starts") == pytest.approx(0.77, abs=0.005)
    assert mean_less("infless", "slo_violation_ratio") == pytest.approx(0.46, abs=0.005)
    assert mean_less("eager", "slo_violation_ratio") == pytest.approx(0.67, abs=0.005)
