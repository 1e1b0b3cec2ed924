"""The search for a peer's best setting finds it option by option, and keeps all that was tried."""

from __future__ import annotations

from harness import BenchmarkError
from harness.search import Setting, search

FIRST: Setting = {"capacity": 57, "wait_ms": 5}
OPTIONS = {"capacity": (8, 32, 57, 64), "wait_ms": (1, 5, 10)}


def goodput(setting: Setting) -> float:
    """Has its peak at a capacity of 32 and a wait of 10 ms."""
    return 1000.0 - abs(float(setting["capacity"]) - 32) * 10 - abs(float(setting["wait_ms"]) - 10)


def test_the_best_value_of_each_option_is_found_at_the_best_of_the_options_before() -> None:
    tried: list[Setting] = []

    def measure(setting: Setting) -> float:
        tried.append(setting)
        return goodput(setting)

    found = search(FIRST, OPTIONS, measure=measure, score=lambda rps: (rps,))
    assert found[0].setting == {"capacity": 32, "wait_ms": 10}
    assert [dict(setting) for setting in tried] == [
        {"capacity": 57, "wait_ms": 5},
        {"capacity": 8, "wait_ms": 5},
        {"capacity": 32, "wait_ms": 5},
        {"capacity": 64, "wait_ms": 5},
        {"capacity": 32, "wait_ms": 1},
        {"capacity": 32, "wait_ms": 10},
    ]
    assert sorted([trial.outcome or 0.0 for trial in found], reverse=True) == [trial.outcome for trial in found]
    assert len(found) == len(tried)


def test_a_setting_with_which_the_peer_does_not_run_is_the_worst() -> None:
    def measure(setting: Setting) -> float:
        if setting["capacity"] == 32:
            raise BenchmarkError("does not answer")
        return goodput(setting)

    found = search(FIRST, {"capacity": (32, 64)}, measure=measure, score=lambda rps: (rps,))
    assert [(trial.setting["capacity"], trial.outcome is None) for trial in found] == [
        (57, False),
        (64, False),
        (32, True),
    ]


def test_of_equal_settings_the_one_that_was_tried_first_is_the_best() -> None:
    found = search(FIRST, OPTIONS, measure=lambda setting: 0.0, score=lambda rps: (rps, 0.0))
    assert found[0].setting == FIRST


def test_without_options_nothing_is_measured() -> None:
    [only] = search(FIRST, {}, measure=goodput, score=lambda rps: (rps,))
    assert (only.setting, only.outcome) == (FIRST, None)
