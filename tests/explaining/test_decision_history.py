from __future__ import annotations

import json
import math
from itertools import pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.explaining.decision_log import (
    MAX_TEXT,
    DecisionKind,
    DecisionLog,
    DecisionOutcome,
    Entry,
)
from explaining.ticks import tick

KEY = "shop/embed-00001"


def shown(log: DecisionLog, key: str = KEY) -> list[tuple[int | None, int | None, int]]:
    """Each entry as (before, decided, how often)."""
    return [(entry.before, entry.decided, entry.count) for entry in log.entries(key)]


def test_an_hour_of_nothing_is_one_entry() -> None:
    log = DecisionLog()
    for second in range(0, 3600, 2):
        log.ticked(tick(now_s=second, stable=0.0, panic=0.0))
    [entry] = log.entries(KEY)
    assert (entry.count, entry.first_s, entry.last_s) == (1800, 0, 3598)
    assert len(log) == 1


def test_each_change_is_an_entry_and_the_newest_is_last() -> None:
    log = DecisionLog()
    for now_s, (before, decided) in enumerate([(0, 0), (0, 3), (3, 3), (3, 3), (3, 1), (1, 1)]):
        log.ticked(tick(now_s=now_s, before=before, decided=decided))
    assert shown(log) == [(0, 0, 1), (0, 3, 1), (3, 3, 2), (3, 1, 1), (1, 1, 1)]
    last = log.last(KEY)
    assert last is not None
    assert last.decided == 1


def test_a_run_keeps_what_it_began_with_and_what_was_last() -> None:
    log = DecisionLog()
    for now_s, load in enumerate([1.0, 7.0, 2.0]):
        log.ticked(tick(now_s=now_s, before=1, decided=1, reason=f"load {load:g}", stable=load, panic=load))
    [entry] = log.entries(KEY)
    assert (entry.first.reason, entry.first.stable) == ("load 1", 1.0)
    assert (entry.last.reason, entry.last.stable) == ("load 2", 2.0)


def test_a_hold_counts_as_the_number_that_stays() -> None:
    log = DecisionLog()
    log.ticked(tick(before=2, decided=2))
    log.ticked(tick(before=2, decided=None, reason="hold: no new sample"))
    assert shown(log) == [(2, 2, 2)]


def test_no_data_failures_and_panic_are_told_apart() -> None:
    log = DecisionLog()
    log.ticked(tick(before=2, decided=2))
    log.ticked(tick(before=None, decided=None, reason="hold: nothing is known"))
    log.ticked(tick(before=2, decided=None, failed=True, reason="hold: failed"))
    log.ticked(tick(before=2, decided=2, panicking=True))
    kinds = [(entry.kind, entry.panicking) for entry in log.entries(KEY)]
    assert kinds == [
        (DecisionKind.DECIDED, False),
        (DecisionKind.NO_DATA, False),
        (DecisionKind.FAILED, False),
        (DecisionKind.DECIDED, True),
    ]


def test_averages_of_kpa_stand_beside_a_policy_that_has_none() -> None:
    log = DecisionLog()
    log.ticked(tick(before=1, decided=1), stable=3.5, panic=4.5, excess_burst_capacity=-7)
    [entry] = log.entries(KEY)
    assert (entry.last.stable, entry.last.panic, entry.last.excess_burst_capacity) == (3.5, 4.5, -7)


def test_averages_of_the_decision_are_taken_where_none_are_given() -> None:
    log = DecisionLog()
    log.ticked(tick(before=1, decided=1, stable=3.5, panic=4.5, excess=2))
    [entry] = log.entries(KEY)
    assert (entry.last.stable, entry.last.panic, entry.last.excess_burst_capacity) == (3.5, 4.5, 2)


def test_what_became_of_a_decision_is_said_with_it() -> None:
    log = DecisionLog()
    log.ticked(tick(before=0, decided=5))
    log.reconciled(KEY, DecisionOutcome(want=3, applied=True, reason="max-scale 3"), 0.1)
    [entry] = log.entries(KEY)
    assert entry.outcome == DecisionOutcome(want=3, applied=True, reason="max-scale 3")


def test_another_outcome_of_the_same_decision_is_an_entry_and_equal_ones_are_not() -> None:
    log = DecisionLog()
    log.ticked(tick(now_s=0, before=1, decided=0))
    for now_s in (0.1, 10.0, 20.0):
        log.reconciled(KEY, DecisionOutcome(want=1, applied=True, reason="active for less than 60 s"), now_s)
    for now_s in (60.0, 70.0):
        log.reconciled(KEY, DecisionOutcome(want=0, applied=False, reason="retention 30 s"), now_s)
    log.ticked(tick(now_s=71, before=0, decided=0))
    assert [(entry.first_s, entry.count, entry.outcome and entry.outcome.reason) for entry in log.entries(KEY)] == [
        (0, 1, "active for less than 60 s"),
        (60.0, 1, "retention 30 s"),
    ]


def test_an_outcome_holds_while_the_number_stays_and_not_for_another_one() -> None:
    log = DecisionLog()
    outcome = DecisionOutcome(want=2, applied=True, reason="")
    log.ticked(tick(before=0, decided=2))
    log.reconciled(KEY, outcome, 0.1)
    log.ticked(tick(before=2, decided=2))
    log.ticked(tick(before=None, decided=None))
    log.ticked(tick(before=2, decided=4))
    assert [entry.outcome for entry in log.entries(KEY)] == [outcome, outcome, outcome, None]


def test_an_outcome_without_a_decision_is_ignored() -> None:
    log = DecisionLog()
    log.reconciled(KEY, DecisionOutcome(want=1, applied=False, reason=""), 0.0)
    assert log.entries(KEY) == []
    assert len(log) == 0


def test_a_revision_keeps_a_number_of_entries_and_the_newest_ones() -> None:
    log = DecisionLog(max_per_function=3)
    for number in range(10):
        log.ticked(tick(now_s=number, before=number, decided=number + 1))
    assert shown(log) == [(7, 8, 1), (8, 9, 1), (9, 10, 1)]
    assert len(log) == 3


def test_many_revisions_share_what_there_is_and_each_keeps_its_newest() -> None:
    log = DecisionLog(max_per_function=50, max_entries=100)
    keys = [f"shop/f-{number:05d}" for number in range(40)]
    for number in range(60):
        for key in keys:
            log.ticked(tick(key, now_s=number, before=number, decided=number + 1))
            assert len(log) <= 100
    for key in keys:
        last = log.last(key)
        assert last is not None
        assert last.decided == 60


def test_forgetting_gives_the_room_back() -> None:
    log = DecisionLog()
    log.ticked(tick(before=0, decided=1))
    log.ticked(tick("shop/other", before=0, decided=1))
    log.forget(KEY)
    log.forget(KEY)
    assert list(log.keys()) == ["shop/other"]
    assert len(log) == 1


def test_long_reasons_are_cut() -> None:
    log = DecisionLog()
    log.ticked(tick(reason="x" * 100_000))
    log.reconciled(KEY, DecisionOutcome(want=0, applied=False, reason="y" * 100_000), 0.0)
    [entry] = log.entries(KEY)
    assert entry.outcome is not None
    assert len(entry.last.reason) == len(entry.outcome.reason) == MAX_TEXT


def test_entries_are_json_also_where_numbers_are_none() -> None:
    log = DecisionLog()
    log.ticked(tick(before=1, decided=2, stable=math.inf, panic=math.nan, reason="load"))
    log.reconciled(KEY, DecisionOutcome(want=2, applied=True, reason="as decided"), 0.0)
    [entry] = log.entries(KEY)
    said = json.loads(msgspec.json.encode(entry))
    assert said == {
        "first_s": 0.0,
        "last_s": 0.0,
        "count": 1,
        "kind": "decided",
        "before": 1,
        "decided": 2,
        "panicking": False,
        "first": said["last"],
        "last": {
            "reason": "load",
            "ready": 0,
            "starting": 0,
            "waiting": 0,
            "learned_rps": None,
            "grantable_rps": None,
            "stable": None,
            "panic": None,
            "excess_burst_capacity": None,
        },
        "outcome": {"want": 2, "applied": True, "reason": "as decided"},
    }


ONE_TICK = st.tuples(
    st.sampled_from(["a/a", "a/b", "b/c"]),
    st.one_of(st.none(), st.integers(0, 2)),
    st.one_of(st.none(), st.integers(0, 2)),
    st.booleans(),
)


@given(st.lists(ONE_TICK, max_size=80), st.integers(1, 5), st.integers(3, 9))
def test_bounds_hold_nothing_is_out_of_order_and_neighbours_differ(
    ticks: list[tuple[str, int | None, int | None, bool]], max_each: int, max_all: int
) -> None:
    log = DecisionLog(max_per_function=max_each, max_entries=max_all)
    for now_s, (key, before, decided, panicking) in enumerate(ticks):
        log.ticked(tick(key, now_s=now_s, before=before, decided=decided, panicking=panicking))
    kept = {key: log.entries(key) for key in log.keys()}  # noqa: SIM118  # the log is no mapping
    assert len(log) == sum(map(len, kept.values())) <= max_all
    assert set(kept) == {key for key, *_ in ticks}
    for entries in kept.values():
        assert 1 <= len(entries) <= max_each
        for before_it, entry in pairwise(entries):
            assert before_it.last_s < entry.first_s <= entry.last_s
            assert folded(before_it) != folded(entry)


def folded(entry: Entry) -> tuple[object, ...]:
    return entry.kind, entry.before, entry.decided, entry.panicking
