"""`dilu evaluate` as people use it: what it prints and writes, and what it refuses."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dilu.errors import ConfigError
from dilu_simulator.evaluation.cli import evaluate
from dilu_simulator.evaluation.preset_list import PRESETS

QUICK = ("--quick", "--seeds", "1", "--jobs", "1", "--no-plots")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(evaluate, arguments)


def refused(*arguments: str) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, ConfigError)
    return str(result.exception)


def test_the_list_names_every_preset() -> None:
    lines = run("--list").output.splitlines()
    assert [line.split()[0] for line in lines] == list(PRESETS)
    assert "needs --traces" in lines[0]


def test_an_unknown_preset_is_named_beside_those_there_are() -> None:
    assert refused("table4") == f"preset = 'table4', must be one of: {', '.join(PRESETS)}"


@pytest.mark.parametrize("arguments", [(), ("gamma", "--all")])
def test_presets_or_all_is_asked_for(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "or --all" in result.output


@pytest.mark.parametrize("presets", [("table3",), ("--all",)])
def test_without_traces_it_says_where_they_are(presets: tuple[str, ...]) -> None:
    said = refused(*presets)
    assert said.startswith("table3 needs --traces DIR")
    assert "https://github.com/sigserverless/Dilu" in said


def test_a_folder_without_traces_is_refused_before_anything_runs(tmp_path: Path) -> None:
    assert refused("table3", "--traces", str(tmp_path)).startswith(f"--traces {tmp_path}: no workload_bursty.txt")


def test_a_bad_line_of_a_trace_is_named(tmp_path: Path) -> None:
    path = tmp_path / "workload_bursty.txt"
    path.write_text("1.0\n-2\n")
    assert refused("table3", "--traces", str(tmp_path), *QUICK).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("missing", "arguments", "way_out"),
    [("matplotlib", ("--out", "results"), "--no-plots"), ("rich", (), "--format markdown")],
)
def test_a_missing_extra_is_named_before_anything_runs(
    missing: str, arguments: tuple[str, ...], way_out: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def without(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == missing else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", without)
    said = refused("vertical", *arguments)
    assert f"needs the module {missing}: pip install 'dilu[sim]'" in said
    assert way_out in said


def test_a_file_where_a_folder_must_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results"
    path.write_text("")
    assert "is a file, must be the other" in refused("vertical", "--out", str(path), "--no-plots")


@pytest.mark.parametrize(("option", "below"), [("--out", "results"), ("--document", "results/evaluation.md")])
def test_what_cannot_be_written_is_refused_before_anything_runs(option: str, below: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = run("vertical", option, str(tmp_path / "file" / below), *QUICK)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"{option}: {tmp_path / 'file'}")
    assert "runs" not in result.stderr


def test_markdown_is_printed_and_written_the_same_however_many_processes(tmp_path: Path) -> None:
    one = run("vertical", "--format", "markdown", "--out", str(tmp_path / "one"), *QUICK)
    two = run("vertical", "--format", "markdown", "--out", str(tmp_path / "two"), *QUICK, "--jobs", "2")
    assert one.exit_code == two.exit_code == 0
    assert one.stdout == two.stdout
    assert one.stdout.startswith("quick runs: the numbers say nothing\nseeds 1001\n")
    written = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert written == ["vertical-against-paper.csv", "vertical-fluctuating.csv", "vertical-low.csv", "vertical.md"]
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_csv_is_printed_table_by_table() -> None:
    result = run("vertical", "--format", "csv", *QUICK)
    heads = [line for line in result.stdout.splitlines() if line.startswith("# ")]
    assert heads == ["# vertical-against-paper", "# vertical-low", "# vertical-fluctuating"]
    assert "claim,where,paper,policy,ours,basis,verdict" in result.stdout


def test_progress_is_told_on_stderr_only() -> None:
    result = run("vertical", "--format", "csv", *QUICK)
    assert "vertical (1 of 1): 14 of 14 runs" in result.stderr
    assert "of 14 runs" not in result.stdout


def test_the_terminal_gets_tables() -> None:
    pytest.importorskip("rich")
    result = run("vertical", *QUICK)
    assert "Against the paper's printed numbers" in result.stdout
    assert "Fluctuating load" in result.stdout


def test_the_document_has_its_figures_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", exc_type=ImportError)
    path = tmp_path / "docs" / "evaluation.md"
    result = run("vertical", "--quick", "--seeds", "1", "--jobs", "1", "--format", "csv", "--document", str(path))
    assert result.exit_code == 0
    assert "](evaluation/vertical.png)" in path.read_text()
    assert (tmp_path / "docs" / "evaluation" / "vertical.png").read_bytes().startswith(b"\x89PNG")
