"""Each preset on short runs: what its report has, whatever the numbers are."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dilu_autoscaler.policy.horizontal import POLICIES
from dilu_autoscaler.policy.horizontal.dilu.settings import CoscaleSpec
from dilu_simulator.evaluation.ablation_switches import switches
from dilu_simulator.evaluation.comparisons import Basis
from dilu_simulator.evaluation.documents import document, section
from dilu_simulator.evaluation.figures import Figure, Mark, Panel, Series
from dilu_simulator.evaluation.intervals import Estimate
from dilu_simulator.evaluation.paper_values import PaperValue
from dilu_simulator.evaluation.preset_list import PRESETS
from dilu_simulator.evaluation.rendering import as_csv, as_markdown, tables_of
from dilu_simulator.evaluation.reports import Report, Settings
from dilu_simulator.evaluation.scenes import VERTICALS
from dilu_simulator.evaluation.tasks import TaskRunner
from simulator.look_alikes import LOADS, write_rates

SEEDS = (1001, 1002)


def write_look_alikes(folder: Path, *names: str) -> Path:
    """Files as the published ones are: rates before they are scaled by 25."""
    for name in names or tuple(LOADS):
        write_rates(folder / f"workload_{name}.txt", [rate / 25 for rate in LOADS[name](3, 120)])
    return folder


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    traces = write_look_alikes(tmp_path_factory.mktemp("traces"))
    settings = Settings(seeds=SEEDS, traces=traces, is_quick=True)
    with TaskRunner() as runner:
        return {name: preset.evaluate(settings, runner) for name, preset in PRESETS.items()}


@pytest.mark.parametrize("name", PRESETS)
def test_every_table_can_be_shown_and_every_row_has_its_basis_or_a_number(
    name: str, reports: dict[str, Report]
) -> None:
    report = reports[name]
    names = [table.name for table in tables_of(report)]
    assert len(names) == len(set(names))
    for table in tables_of(report):
        rows = list(csv.reader(io.StringIO(as_csv(table))))
        assert len(rows) == len(table.rows) + 1
        assert {len(row) for row in rows} == {len(rows[0])}
        lines = as_markdown(replace(table, note="")).splitlines()
        assert len(lines) == len(table.rows) + 4
        assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines[2:]} == {len(table.columns) + 1}


@pytest.mark.parametrize("name", PRESETS)
def test_every_printed_number_has_its_place_its_basis_and_a_reason(name: str, reports: dict[str, Report]) -> None:
    assert reports[name].comparisons
    for comparison in reports[name].comparisons:
        assert comparison.paper.where.startswith(("Table 3", "§5", "Fig"))
        assert comparison.basis in Basis
        assert comparison.why
        assert comparison.policy in ("dilu", "dilu-paper", "eager", "infless")


def test_only_table_3s_cold_starts_are_fitted(reports: dict[str, Report]) -> None:
    fitted = {
        (comparison.policy, comparison.claim.partition(": ")[2])
        for report in reports.values()
        for comparison in report.comparisons
        if comparison.basis is Basis.FITTED
    }
    assert fitted == {(policy, "cold starts, evenly spaced") for policy in ("dilu-paper", "eager")}


def test_table_3_has_every_policy_on_every_trace(reports: dict[str, Report]) -> None:
    tables = {table.name: table for table in reports["table3"].tables}
    assert list(tables) == [
        f"table3-{trace}-{kind}"
        for trace in ("bursty", "periodic", "sporadic")
        for kind in ("even", "poisson", "dilu-against")
    ]
    assert {str(row[0]).split()[0] for row in tables["table3-bursty-even"].rows} == set(POLICIES)
    for row in tables["table3-bursty-even"].rows:  # nothing is random: one run
        assert all(cell.half_width is None for cell in row if isinstance(cell, Estimate))
    assert any(
        cell.half_width for row in tables["table3-bursty-poisson"].rows for cell in row if isinstance(cell, Estimate)
    )


def test_a_replica_that_is_warm_at_the_start_is_counted_apart(reports: dict[str, Report]) -> None:
    table = next(table for table in reports["table3"].tables if table.name == "table3-bursty-even")
    names = [column.name for column in table.columns]
    for row in table.rows:
        own, with_first = (row[names.index(name)] for name in ("cold_starts", "cold_starts_with_first"))
        assert isinstance(own, Estimate)
        assert isinstance(with_first, Estimate)
        assert with_first.mean == own.mean + 1


def test_traces_that_are_not_there_are_named_and_left_out(tmp_path: Path) -> None:
    traces = write_look_alikes(tmp_path, "periodic")
    with TaskRunner() as runner:
        report = PRESETS["table3"].evaluate(Settings(seeds=(1,), traces=traces, is_quick=True), runner)
    assert "left out: bursty, sporadic." in report.about
    assert {table.name.split("-")[1] for table in report.tables} == {"periodic"}


def test_exclusive_is_its_own_measure(reports: dict[str, Report]) -> None:
    for table in reports["collocation"].tables:
        (exclusive,) = (row for row in table.rows if str(row[0]).startswith("exclusive"))
        assert len(table.rows) == len(VERTICALS)
        for column, cell in zip(table.columns, exclusive, strict=True):
            if column.title == "of exclusive" or column.name == "training_ratio":
                assert isinstance(cell, Estimate)
                assert cell.mean == 1.0
            if column.name == "max_gpus":
                assert cell == Estimate(mean=2.0, half_width=getattr(cell, "half_width", None))


def test_shared_tenants_are_on_one_gpu(reports: dict[str, Report]) -> None:
    for table in reports["collocation"].tables:
        at = [column.name for column in table.columns].index("max_gpus")
        shared = [row[at] for row in table.rows if not str(row[0]).startswith("exclusive")]
        assert {cell.mean for cell in shared if isinstance(cell, Estimate)} == {1.0}


def test_the_ablation_has_every_switch_of_the_policy(reports: dict[str, Report]) -> None:
    assert set(switches()) <= set(CoscaleSpec.__dataclass_fields__)
    assert len(switches()) >= 3
    tables = [table for table in reports["ablation"].tables if "switches" in table.name]
    for table in tables:
        assert [str(row[0]).split()[0] for row in table.rows] == ["nothing:", *switches()]


def test_what_needs_the_scheduler_has_the_papers_number_only(reports: dict[str, Report]) -> None:
    table = reports["ablation"].tables[0]
    later = [row for row in table.rows if row[-1] == "with the scheduler"]
    assert [row[0] for row in later] == ["Dilu -RC", "Dilu -WA"]
    assert all(isinstance(row[1], PaperValue) and set(row[2:-1]) == {None} for row in later)


def test_the_same_seeds_give_the_same_document(reports: dict[str, Report], tmp_path: Path) -> None:
    again = Settings(seeds=SEEDS, traces=write_look_alikes(tmp_path), is_quick=True)
    with TaskRunner(jobs=2) as runner:
        report = PRESETS["vertical"].evaluate(again, runner)
    assert section(report, "figures") == section(reports["vertical"], "figures")


def test_the_document_has_definitions_seeds_and_all_reports(reports: dict[str, Report]) -> None:
    settings = Settings(seeds=SEEDS)
    text = document(list(reports.values()), settings, "evaluation")
    assert "1001, 1002." in text
    for word in ("SLO violation ratio", "Cold start", "GPU time", "Arrivals", "Student's t", "fitted", "predicted"):
        assert f"**{word}" in text or word in text
    for report in reports.values():
        assert f"## {report.title}" in text
        assert f"`dilu evaluate {report.name}`" in text
        for figure in report.figures:
            assert f"](evaluation/{figure.name}.png)" in text
    assert "quick runs" not in text
    quick = document(list(reports.values()), replace(settings, is_quick=True), None)
    assert "These were quick runs" in quick
    assert "](evaluation/" not in quick


def test_a_figure_is_small_and_the_same_twice(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", exc_type=ImportError)
    from dilu_simulator.evaluation.plots import draw

    bars = Series(label="ours", x=("a", "b"), y=(Estimate(mean=1.0, half_width=0.1), None), mark=Mark.BARS)
    points = Series(label="paper", x=("b",), y=(Estimate(mean=2.0),), mark=Mark.POINTS)
    line = Series(
        label="line", x=(Estimate(mean=0.5, half_width=0.1), 2.0), y=(None, Estimate(mean=1.0)), mark=Mark.LINE
    )
    steps = Series(label="steps", x=(0.0, 1.0), y=(Estimate(mean=0.0), Estimate(mean=3.0)), mark=Mark.STEPS)
    figure = Figure(
        name="small",
        caption="Small",
        panels=(
            Panel(title="bars", y_label="s", series=(bars, points)),
            Panel(title="lines", y_label="s", x_label="s", series=(line, steps)),
        ),
    )
    for name in ("one.png", "two.png"):
        draw(figure, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").stat().st_size < 40_000
