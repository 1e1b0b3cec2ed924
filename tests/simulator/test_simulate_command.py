"""`dilu simulate`: what it prints, what it refuses, and a policy of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dilu.errors import DiluError
from dilu_autoscaler.policy.horizontal import POLICIES
from dilu_simulator.cli import simulate
from simulator.look_alikes import LOADS, write_rates

KEYS = ["requests", "slo_violation_ratio", "cold_starts", "instance_seconds", "p95_ms"]
OWN = """
from dilu_autoscaler.policy.horizontal import Decision, Observation

def three(function, seen, state, now_s):
    return Decision(replicas=3, reason=f"call {state or 0}"), (state or 0) + 1

not_a_policy = 3
"""


@pytest.fixture
def workload(tmp_path: Path) -> Path:
    return write_rates(tmp_path / "load.txt", LOADS["bursty"](1, seconds=120))


def run(*args: object) -> Result:
    return CliRunner().invoke(simulate, [str(arg) for arg in args])


def results(*args: object) -> dict[str, float]:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    printed: dict[str, float] = json.loads(result.output)
    return printed


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_it_prints_one_object_with_these_keys_and_the_same_bytes_for_the_same_seed(policy: str, workload: Path) -> None:
    args = ["--workload", workload, "--workload-format", "rps", "--scale", "1", "--capacity-rps", "56"]
    args += ["--policy", policy, "--arrivals", "poisson", "--seed", "5"]
    assert list(results(*args)) == KEYS
    assert run(*args, "--json").output == run(*args, "--json").output


def test_without_json_it_prints_a_line_for_each_number(workload: Path) -> None:
    lines = run("--workload", workload, "--capacity-rps", "56").output.splitlines()
    assert [line.split()[0] for line in lines] == KEYS


def test_times_of_arrivals_are_replayed_as_they_are(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("time\n3.0\n4.0\n4.0\n10.0\n")
    printed = results("--workload", trace, "--workload-format", "times", "--capacity-rps", "56")
    assert (printed["requests"], printed["instance_seconds"]) == (4, 7.0)


def test_a_policy_of_ones_own_decides(tmp_path: Path, workload: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN)
    printed = results("--workload", workload, "--capacity-rps", "56", "--policy", f"{own}:three")
    assert printed["cold_starts"] == 2
    assert printed["instance_seconds"] == pytest.approx(3 * 120, abs=0.01)


@pytest.mark.parametrize(
    ("policy", "rule"),
    [
        ("hpb", "must be one of: .*; or FILE.py:FUNCTION"),
        ("{folder}/own.py", "must name what to take from that file"),
        ("{folder}/none.py:three", "is no file"),
        ("{folder}/own.py:four", "has no function 'four'"),
        ("{folder}/own.py:not_a_policy", "has no function 'not_a_policy'"),
        ("{folder}/broken.py:three", "raised ZeroDivisionError: division by zero"),
        ("{folder}/leaves.py:three", "raised SystemExit: 3"),
        ("", "policy = '', must be one of: "),
    ],
)
def test_a_policy_that_is_none_is_refused_with_the_rule(policy: str, rule: str, tmp_path: Path, workload: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("1 / 0\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    result = run("--workload", workload, "--capacity-rps", "56", "--policy", policy.format(folder=tmp_path))
    with pytest.raises(DiluError, match=rule):
        raise result.exception or AssertionError(result.output)


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        ("1\n-2\n", r"load.txt:2: -2, must be a finite number of requests per second, 0 or more"),
        ("1\n\n2\n", r"load.txt:2: an empty line between rates"),
        ("1\ntwo\n", r"load.txt:2: 'two', must be one rate in requests per second"),
        ("", r"load.txt: no values"),
    ],
)
def test_a_bad_workload_is_refused_by_its_line(lines: str, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "load.txt"
    path.write_text(lines)
    result = run("--workload", path, "--capacity-rps", "56")
    with pytest.raises(DiluError, match=rule):
        raise result.exception or AssertionError(result.output)
