"""`dilu policy replay` over values: when it decides, what silence means, what a changed spec changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dilu.errors import ConfigError, LoadError
from replay.replaying import Lines, decisions


def steady(start: int, stop: int, load: float = 5.0, *, ready: int = 1) -> Lines:
    return [{"t_s": second, "ready": ready, "concurrency": load, "rps": load} for second in range(start, stop)]


def test_there_is_a_decision_every_two_seconds_from_the_first_line_to_the_last(tmp_path: Path) -> None:
    lines = [*steady(101, 104), {"t_s": 109.5, "ready": 1, "concurrency": 0}]
    assert [one["t_s"] for one in decisions(tmp_path, lines, {})] == [101, 103, 105, 107, 109]


def test_a_line_is_taken_before_the_tick_of_its_own_time(tmp_path: Path) -> None:
    lines = [{"t_s": 10, "ready": 2, "concurrency": 8}, {"t_s": 12, "ready": 3, "concurrency": 4}]
    first, second = decisions(tmp_path, lines, {"target-burst-capacity": 1})
    assert (first["stable"], first["excess_burst_capacity"]) == (8, 2 * 100 - 1 - 8)
    assert (second["stable"], second["excess_burst_capacity"]) == (4, 3 * 100 - 1 - 4)


def test_no_value_for_longer_than_the_window_is_no_data(tmp_path: Path) -> None:
    lines = [*steady(0, 3), {"t_s": 12, "ready": 1, "concurrency": None, "rps": None}]
    printed = decisions(tmp_path, lines, {"window": "6s"})
    assert [(one["t_s"], one["stable"], one["valid"]) for one in printed] == [
        (0, 5, True),
        (2, 5, True),
        (4, 5, True),
        (6, 5, True),
        (8, 0, True),  # the window has just passed, and is not empty yet
        (10, None, False),
        (12, None, False),
    ]
    assert printed[-1]["desired"] is None
    assert printed[-1]["reason"] == "hold: no data for more than 6 s"


def test_silence_is_no_load_where_the_burst_target_is_unlimited(tmp_path: Path) -> None:
    printed = decisions(tmp_path, [{"t_s": 0, "ready": 1, "rps": None}], {"target-burst-capacity": -1})
    assert [(one["desired"], one["excess_burst_capacity"], one["stable"]) for one in printed] == [(0, -1, 0)]


def test_values_that_come_late_are_added_to_their_second(tmp_path: Path) -> None:
    lines = [*steady(0, 5, 2.0), {"t_s": 2, "concurrency": 10}, {"t_s": 4}]
    assert decisions(tmp_path, lines, {"window": "6s"})[-1]["stable"] == 4


def test_a_spec_in_a_line_counts_from_that_line_on(tmp_path: Path) -> None:
    lines = steady(0, 6, 30.0)
    lines[3]["spec"] = {"metric": "rps", "target-value": 5}
    lines[5]["spec"] = {"metric": None}
    printed = decisions(tmp_path, lines, {"target-value": 10})
    assert [(one["t_s"], one["desired"]) for one in printed] == [(0, 3), (2, 3), (4, 6)]
    assert printed[1]["reason"].startswith("3 for 30.00 in flight")
    assert printed[2]["reason"].startswith("6 for 30.00 rps")


def test_a_spec_in_the_first_line_makes_the_scaler(tmp_path: Path) -> None:
    line = {"t_s": 0, "ready": 1, "concurrency": 1, "spec": {"initial-ready": 4}}
    (decided,) = decisions(tmp_path, [line], {})
    assert (decided["panicking"], decided["desired"]) == (True, 4)


def test_a_delay_and_an_aggregation_given_later_are_not_noticed(tmp_path: Path) -> None:
    lines = steady(0, 9, 100.0)
    later: dict[str, Any] = {"scale-down-delay": "60s", "metric-aggregation-algorithm": "weighted-exponential"}
    lines[1]["spec"] = later
    at_last = decisions(tmp_path, lines, {"target-value": 10})[-1]
    assert (at_last["stable"], at_last["desired"]) == (100, 10)


def test_min_max_and_initial_scale_are_not_applied(tmp_path: Path) -> None:
    spec = {"min-scale": 3, "max-scale": 4, "initial-scale": 2, "target-value": 1}
    printed = decisions(tmp_path, steady(0, 3, 9.0), spec)
    assert [one["desired"] for one in printed] == [9, 9]


def test_without_a_spec_knatives_defaults_hold(tmp_path: Path) -> None:
    (decided,) = decisions(tmp_path, [{"t_s": 0, "ready": 1, "concurrency": 71}], {})
    assert (decided["desired"], decided["excess_burst_capacity"]) == (2, 100 - 211 - 71)


@pytest.mark.parametrize("lines", [[], [{"t_s": 3}], [{"t_s": 3, "spec": {"target": 5}}]], ids=["no", "bare", "spec"])
def test_a_file_without_any_load_has_no_result(lines: Lines, tmp_path: Path) -> None:
    assert [one["valid"] for one in decisions(tmp_path, lines, {})] == [False] * len(lines)


# --- other policies --------------------------------------------------------------------------------------------------

POLICY = """
from dilu_autoscaler.policy.horizontal import Decision

def decide(spec, seen, state, now_s):
    seconds = [sample.t_s for sample in seen.samples]
    reason = f"{seconds} of {seen.ready} at {spec.target:g}, desired {seen.desired}, state {state}"
    return Decision(replicas=len(seconds), reason=reason), now_s

def broken(spec
"""


def test_a_function_in_a_file_sees_the_seconds_that_are_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(POLICY.rpartition("def")[0], encoding="utf-8")
    lines = steady(0, 5, ready=2)
    printed = decisions(tmp_path, lines, {"target": 10}, "--policy", f"{path}:decide")
    assert [one["reason"] for one in printed] == [
        "[] of 2 at 7, desired 2, state None",
        "[0.0, 1.0] of 2 at 7, desired 0, state 0.0",
        "[2.0, 3.0] of 2 at 7, desired 2, state 2.0",
    ]
    assert [one["desired"] for one in printed] == [0, 2, 2]
    assert printed[0]["excess_burst_capacity"] is None


MISSED = """
from dilu_autoscaler.policy.horizontal import Decision

def decide(spec, seen, state, now_s):
    return Decision(replicas=1, reason=str([sample.missed for sample in seen.samples])), state
"""


def test_a_policy_sees_what_missed_its_objective_and_none_where_no_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(MISSED, encoding="utf-8")
    reports: Lines = [{"t_s": 0, "ready": 1, "rps": 5.0}, {"t_s": 1, "rps": 5.0, "missed": 2.0}]
    reports += [
        {"t_s": 1.5, "rps": 1.0, "missed": 1.0},
        {"t_s": 2, "rps": 1.0, "missed": None},
        {"t_s": 3, "missed": 0},
    ]
    printed = decisions(tmp_path, [*reports, {"t_s": 4}], {"target": 10}, "--policy", f"{path}:decide")
    assert [one["reason"] for one in printed] == ["[]", "[None, 3.0]", "[None, 0.0]"]


def test_a_policy_of_ours_has_the_keys_of_a_function(tmp_path: Path) -> None:
    lines = steady(0, 60, 50.0)
    printed = decisions(tmp_path, lines, {"rps_limit": 10.0, "max_scale": 2}, "--policy", "dilu-paper", "--tick", "1")
    assert next(one["t_s"] for one in printed if one["desired"] == 2) == 20
    assert max(one["desired"] or 0 for one in printed) == 2


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("unknown", ConfigError, "policy = 'unknown', must be one of: dilu, "),
        ("mine.py", ConfigError, "policy = 'mine.py': name the function in the file, mine.py:FUNCTION"),
        ("nowhere.py:decide", LoadError, "nowhere.py: no such file"),
        ("{folder}/mine.py:other", LoadError, "mine.py: has no function 'other'"),
        ("{folder}/broken.py:broken", LoadError, "broken.py: SyntaxError: "),
    ],
)
def test_a_policy_that_is_not_there_is_named(name: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("", encoding="utf-8")
    (tmp_path / "broken.py").write_text(POLICY, encoding="utf-8")
    with pytest.raises(error) as raised:
        decisions(tmp_path, [], {}, "--policy", name.format(folder=tmp_path))
    assert message in str(raised.value)


def test_averages_are_refused_by_other_policies(tmp_path: Path) -> None:
    lines = [{"t_s": 0, "ready": 1, "stable": 1, "panic": 1}]
    with pytest.raises(ConfigError, match=r"obs\.jsonl:1: averages are for the policy kpa; eager needs the values"):
        decisions(tmp_path, lines, {}, "--policy", "eager")
