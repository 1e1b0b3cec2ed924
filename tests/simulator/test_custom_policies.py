"""A policy from a researcher's file: what it may be, and that a simulation ends where it fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dilu.errors import ConfigError
from dilu_simulator.cli import simulate
from dilu_simulator.custom_policies import PolicyFailed, policy_for
from dilu_simulator.run import run_scenario
from dilu_simulator.scenario import read_scenario

STATEFUL = """
from __future__ import annotations
from dataclasses import dataclass
from dilu_autoscaler.policy.horizontal import Decision, Observation

@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    count: int = 0

def decide(function, seen: Observation, state: Calls | None, now_s: float) -> tuple[Decision, Calls]:
    calls = Calls() if state is None else state
    return Decision(replicas=2, reason=f"call {calls.count}"), Calls(count=calls.count + 1)
"""
FAULTY = """
from dilu_autoscaler.policy.horizontal import Decision, Policy

def raises(function, seen, state, now_s):
    if now_s > 3:
        raise ValueError("boom")
    return Decision(replicas=1, reason="fine", next_change_s=now_s + 1), None

def answers(answer):
    return lambda function, seen, state, now_s: (answer, None)

number = lambda function, seen, state, now_s: 7
bare = answers(7)
nothing = lambda function, seen, state, now_s: None
fewer_arguments = lambda seen, state: (Decision(replicas=1, reason=""), None)
negative = answers(Decision(replicas=-1, reason=""))
half = answers(Decision(replicas=2.5, reason=""))
not_a_number = answers(Decision(replicas=float("nan"), reason=""))
without_end = answers(Decision(replicas=10**9, reason=""))
text = answers(Decision(replicas="2", reason=""))
never = answers(Decision(replicas=1, reason="", next_change_s=float("nan")))
forgetful = Policy(name="mine", settings_for=str, initial_state=lambda spec, seen, now_s: 1 / 0, decide=raises)
"""
DECISION = r"must be \(Decision, state\)"
WHOLE = "replicas must be a whole number from 0 to 1000000, or None to hold"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "load.txt").write_text("5\n" * 10)
    (tmp_path / "faulty.py").write_text(FAULTY)
    return tmp_path


def simulated(folder: Path, policy: str) -> None:
    arguments = ["--workload", str(folder / "load.txt"), "--capacity-rps", "56", "--policy", policy, "--json"]
    result = CliRunner().invoke(simulate, arguments)
    if result.exception is not None:
        raise result.exception


def test_its_state_may_be_a_dataclass_of_its_own(folder: Path) -> None:
    own = folder / "stateful.py"
    own.write_text(STATEFUL)
    simulated(folder, f"{own}:decide")


def test_a_file_named_like_a_module_hides_none(folder: Path) -> None:
    own = folder / "json.py"
    own.write_text(STATEFUL)
    simulated(folder, f"{own}:decide")


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("raises", r"at 4 s: raised ValueError: boom \(faulty.py:6\)"),
        ("number", rf"at 0 s: answered 7, {DECISION}"),
        ("bare", rf"at 0 s: answered \(7, None\), {DECISION}"),
        ("nothing", rf"at 0 s: answered None, {DECISION}"),
        ("fewer_arguments", r"at 0 s: raised TypeError: .* takes 2 positional arguments but 4 were given"),
        ("negative", WHOLE),
        ("half", WHOLE),
        ("not_a_number", WHOLE),
        ("without_end", WHOLE),
        ("text", WHOLE),
        ("never", "next_change_s must be a time in seconds, or None for never"),
        ("forgetful", r"at 0 s: raised ZeroDivisionError: division by zero \(faulty.py:"),
    ],
)
def test_where_it_fails_there_is_no_result_but_its_mistake(attribute: str, message: str, folder: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        simulated(folder, f"{folder}/faulty.py:{attribute}")


def test_a_scenario_in_which_it_fails_ends_too(folder: Path) -> None:
    path = folder / "scenario.yaml"
    path.write_text("duration: 10\nfunctions:\n  - {name: a, model: VGG19, load: {kind: even, rps: 1}}\n")
    with pytest.raises(PolicyFailed, match="raised ValueError: boom"):
        run_scenario(read_scenario(path), policy=policy_for(f"{folder}/faulty.py:raises"))
