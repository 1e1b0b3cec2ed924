"""`dilu simulate SCENARIO`: what it prints and writes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dilu.errors import DiluError
from dilu_simulator.cli import simulate
from dilu_simulator.models import MODELS

SCENARIO = """
name: small
duration: 20
cluster: {nodes: 1, gpus: 1}
functions:
  - {name: embed, model: RoBERTa-large, load: {kind: poisson, rps: 20}, warm: 1, min_scale: 1}
  - {name: rare, model: BERT-base, load: {kind: sporadic, burst_rps: 10, burst: 2, pause: 5}}
training:
  - {name: train, model: BERT-base, gpu_memory: 20Gi}
"""


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO)
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(simulate, [str(arg) for arg in args])


def test_the_same_seed_prints_the_same_bytes(scenario: Path) -> None:
    first = run(scenario, "--json", "--seed", 3)
    assert first.exit_code == 0, first.output
    assert first.output == run(scenario, "--json", "--seed", 3).output
    assert first.output != run(scenario, "--json", "--seed", 4).output
    printed = json.loads(first.output)
    assert list(printed) == [
        "scenario",
        "policy",
        "vertical",
        "placement",
        "seed",
        "duration_s",
        "total",
        "functions",
        "training",
    ]
    assert [one["name"] for one in printed["functions"]] == ["embed", "rare"]


def test_policies_of_the_command_line_replace_those_of_the_file(scenario: Path) -> None:
    args = ("--policy", "kpa", "--vertical", "static-request", "--placement", "first-fit-by-limit", "--json")
    printed = json.loads(run(scenario, *args).output)
    assert (printed["policy"], printed["vertical"], printed["placement"]) == (
        "kpa",
        "static-request",
        "first-fit-by-limit",
    )


def test_people_get_a_table_of_functions_and_one_of_training(scenario: Path) -> None:
    lines = run(scenario).output.splitlines()
    assert lines[0] == "small: policy dilu, vertical dilu, first-fit, seed 0, 20 s"
    assert {"embed", "rare", "all", "train"} <= {line.split()[0] for line in lines if line.split()}


def test_csv_files_hold_functions_training_and_the_timeline(scenario: Path, tmp_path: Path) -> None:
    assert run(scenario, "--csv", tmp_path / "out").exit_code == 0
    texts = {name: (tmp_path / "out" / name).read_text() for name in ("functions.csv", "timeline.csv")}
    rows = {name: list(csv.DictReader(text.splitlines())) for name, text in texts.items()}
    assert [row["name"] for row in rows["functions.csv"]] == ["embed", "rare"]
    assert len(rows["timeline.csv"]) == 2 * 20
    assert (tmp_path / "out" / "training.csv").read_text().count("\n") == 2


def test_a_plot_is_drawn(scenario: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = run(scenario, "--plot", tmp_path / "run.svg")
    assert result.exit_code == 0, result.output
    assert "<svg" in (tmp_path / "run.svg").read_text()


def test_models_are_shown_with_the_source_of_each_number() -> None:
    printed = run("--models").output
    for model in MODELS.values():
        assert model.name in printed
    assert printed.count("assumed") > 10
    shown = {entry["name"]: entry for entry in json.loads(run("--models", "--json").output)}
    assert shown["ResNet152"]["curve"] == {"a_ms": 20.08, "c_ms": 0.44, "d_ms": 2.32, "b_ms": 0.53, "p": 3.36}


def test_every_number_of_a_model_has_a_source() -> None:
    for model in MODELS.values():
        numbers = {"curve", "batch", "slo_ms", "sm_request", "sm_limit", "gpu_memory_mib", "training"}
        assert set(model.sources) == numbers | ({"llm"} if model.llm is not None else set())


def test_presets_are_listed() -> None:
    assert "shared-gpu" in run("--preset", "list").output.split()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "give one of: a SCENARIO.yaml, --preset, --models, --workload"),
        (("--preset", "list", "--models"), "give one of"),
        (("--preset", "shared-gpu", "--batch", "3"), "--batch goes with --workload only"),
        (
            ("--workload", "rps.txt", "--capacity-rps", "1", "--vertical", "dilu"),
            "--vertical goes with a scenario only",
        ),
        (("--workload", "rps.txt"), "Missing option '--capacity-rps'"),
    ],
)
def test_options_that_do_not_go_together_are_refused(args: tuple[str, ...], message: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert message in result.output


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(DiluError, match="preset = 'none', must be one of: language-models, many-functions, shared-gpu"):
        raise run("--preset", "none").exception or AssertionError
