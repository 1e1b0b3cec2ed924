"""What `dilu policy replay` says of files that it cannot use: one line with file, line, key, rule and value."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dilu.errors import ConfigError
from replay.replaying import run_replay

GOOD = '{"t_s": 1, "ready": 1, "stable": 1, "panic": 1}\n'
VALUES = '{"t_s": 1, "ready": 1, "concurrency": 1, "rps": 1}\n'


@pytest.mark.parametrize(
    ("observations", "message"),
    [
        (GOOD + "{", "obs.jsonl:2: no JSON: "),
        (GOOD + "\n\n[1]", "obs.jsonl:4: must be a JSON object such as "),
        ("[" * 50_000, "obs.jsonl:1: no JSON: nested too deeply"),
        (GOOD + " " * 66_000 + GOOD, "obs.jsonl:2: the line is longer than 65536 characters"),
        ('{"t_s": 1, "ready": 1, "stable": NaN}', "obs.jsonl:1: no JSON: NaN is no number of JSON"),
        ('{"ready": 1}', "obs.jsonl:1: t_s: is required"),
        ('{"t_s": "1"}', "obs.jsonl:1: t_s: must be seconds, at least 0 (seen '1')"),
        ('{"t_s": -1}', "obs.jsonl:1: t_s: must be seconds, at least 0 (seen -1)"),
        ('{"t_s": true}', "obs.jsonl:1: t_s: must be seconds, at least 0 (seen True)"),
        ('{"t_s": 1, "raedy": 1}', "obs.jsonl:1: raedy: unknown key; did you mean ready?"),
        ('{"t_s": 1, "ready": 1.5}', "obs.jsonl:1: ready: must be a whole number from 0 to 2147483647 (seen 1.5)"),
        ('{"t_s": 1, "stable": "a"}', "obs.jsonl:1: stable: must be a number, or null for no data (seen 'a')"),
        ('{"t_s": 1, "rps": 1e400}', "obs.jsonl:1: rps: must be a number, or null for no data (seen inf)"),
        ('{"t_s": 1, "rps": 1, "panic": 1}', "obs.jsonl:1: stable: a line holds averages or values, not both"),
        (
            GOOD + VALUES,
            "obs.jsonl:2: concurrency: a file holds averages or values, not both; the lines before have ",
        ),
        (VALUES + GOOD, "obs.jsonl:2: stable: a file holds averages or values, not both; the lines before have values"),
        (GOOD + GOOD.replace("1", "0", 1), "obs.jsonl:2: t_s: must not go back; the line before is at 1 (seen 0)"),
        (VALUES + '{"t_s": 1700000000}', "obs.jsonl:2: t_s: is more than a week after the line before (1); t_s is in "),
        ('{"t_s": 1, "spec": 3}', "obs.jsonl:1: spec: must be an object of the keys that change (seen 3)"),
        ('{"t_s": 1, "spec": {"window": "6"}}', "obs.jsonl:1: spec.window: must be a duration such as 60s or 1m30s"),
        ('{"t_s": 1, "spec": {"windo": "6s"}}', "obs.jsonl:1: spec.windo: unknown key; did you mean window?"),
        (
            GOOD + '{"t_s": 1, "spec": {"initial-ready": 2}}',
            "obs.jsonl:2: spec.initial-ready: counts when the scaler is made, so only the first line may say it",
        ),
    ],
    ids=lambda text: text[:40],
)
def test_a_line_that_cannot_be_used_is_named(observations: str, message: str, tmp_path: Path) -> None:
    result = run_replay(tmp_path, spec=None, observations=observations)
    assert isinstance(result.exception, ConfigError)
    said = str(result.exception)
    assert said.startswith(f"{tmp_path}/{message}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("target: 1\nmetric: cpu", "spec.yaml:2: metric: must be one of concurrency, rps (seen 'cpu')"),
        ("tagret: 1", "spec.yaml:1: tagret: unknown key; did you mean target?"),
        ("max-scale-up-rate: 1", "spec.yaml:1: max-scale-up-rate: must be a number above 1 (seen 1)"),
        ("target-burst-capacity: -2", "spec.yaml:1: target-burst-capacity: must be a number of at least 0, or -1 for "),
        ("container-concurrency-target-percentage: 101", "spec.yaml:1: container-concurrency-target-percentage: must"),
        ("reachable: maybe", "spec.yaml:1: reachable: must be true or false (seen 'maybe')"),
        ("stable-window: 1500ms", "spec.yaml:1: stable-window: must be whole seconds, and not below 0 (seen '1500ms')"),
        ("activation-scale: -1", "spec.yaml:1: activation-scale: must be a whole number from 0 to 2147483647 (seen"),
        ("metric-aggregation-algorithm: mean", "spec.yaml:1: metric-aggregation-algorithm: must be one of linear, "),
        ("target-utilization-percentage: a", "spec.yaml:1: target-utilization-percentage: must be a number (seen 'a')"),
        ("target: [1]", "spec.yaml:1: target: must be a single value"),
        ("- 1", "spec.yaml:1: the file: must be a mapping of keys to values"),
    ],
    ids=lambda text: text[:40],
)
def test_a_spec_that_cannot_be_used_is_named(spec: str, message: str, tmp_path: Path) -> None:
    result = run_replay(tmp_path, spec=spec, observations=GOOD)
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(f"{tmp_path}/{message}")


@pytest.mark.parametrize("spec", ["", "# nothing yet\n", "---\n", "{}"])
def test_an_empty_spec_is_knatives_defaults(spec: str, tmp_path: Path) -> None:
    assert run_replay(tmp_path, spec=spec, observations=GOOD).exit_code == 0


def test_what_was_decided_before_a_bad_line_is_printed(tmp_path: Path) -> None:
    result = run_replay(tmp_path, spec=None, observations=GOOD + "{")
    assert result.stdout.count("\n") == 1


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "obs.jsonl").write_bytes(GOOD.encode() + b"\xff\xfe\n")
    program = "from dilu_autoscaler.replay.cli import policy; policy(standalone_mode=False)"
    command = [sys.executable, "-c", program, "replay", "--observations", str(tmp_path / "obs.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "obs.jsonl:2: no JSON: " in done.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = run_replay(tmp_path, spec=None, observations=GOOD, arguments=("--observations", str(tmp_path / "missing")))
    assert str(result.exception) == f"{tmp_path}/missing: No such file or directory"


def test_standard_input_is_read_line_by_line(tmp_path: Path) -> None:
    program = "from dilu_autoscaler.replay.cli import policy; policy()"
    command = [sys.executable, "-c", program, "replay", "--observations", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(GOOD)
        process.stdin.flush()
        assert process.stdout.readline().startswith('{"t_s": 1, "desired": 1, ')
        process.stdin.close()
        assert process.wait(10) == 0
