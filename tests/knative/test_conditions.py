"""Conditions change, and Ready follows, as Knative's condition manager has it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.reconciling.conditions import (
    ACTIVE,
    DEPENDENTS,
    FALSE,
    READY,
    SCALE_TARGET_INITIALIZED,
    SKS_READY,
    TRUE,
    UNKNOWN,
    Condition,
    Conditions,
    time_s,
    time_text,
)


def fresh() -> Conditions:
    return Conditions([])


def statuses(conditions: Conditions) -> dict[str, str]:
    return {kind: conditions.status(kind) for kind in (READY, *DEPENDENTS)}


def test_what_is_missing_is_unknown() -> None:
    assert set(statuses(fresh()).values()) == {UNKNOWN}


def test_what_is_missing_beside_a_true_ready_is_true() -> None:
    assert set(statuses(Conditions([Condition(type=READY, status=TRUE)])).values()) == {TRUE}


def test_ready_is_true_only_when_all_are() -> None:
    conditions = fresh()
    for kind in DEPENDENTS[:-1]:
        conditions.mark_true(kind)
        assert conditions.status(READY) == UNKNOWN
    conditions.mark_true(DEPENDENTS[-1])
    assert conditions.status(READY) == TRUE


def test_a_false_one_makes_ready_false_with_its_reason_until_it_is_true() -> None:
    conditions = fresh()
    conditions.mark_true(SKS_READY)
    conditions.mark_true(SCALE_TARGET_INITIALIZED)
    conditions.mark_false(ACTIVE, "NoTraffic", "The target is not receiving traffic.")
    assert (conditions[READY].status, conditions[READY].reason) == (FALSE, "NoTraffic")
    conditions.mark_unknown(SKS_READY, "NotReady", "no backends")
    assert (conditions[READY].status, conditions[READY].reason) == (FALSE, "NoTraffic")
    conditions.mark_true(ACTIVE)
    assert (conditions[READY].status, conditions[READY].reason) == (UNKNOWN, "NotReady")


def test_of_two_false_ones_ready_copies_the_one_that_changed_last() -> None:
    conditions = fresh()
    conditions.mark_false(ACTIVE, "First", "")
    conditions.mark_false(SCALE_TARGET_INITIALIZED, "Second", "")
    conditions.mark_true(SKS_READY)
    assert conditions[READY].reason == "Second"


def test_times_change_only_with_what_is_said_and_are_whole_seconds() -> None:
    stored = [
        Condition(type=ACTIVE, status=TRUE, changed_s=50.0),
        Condition(type=READY, status=UNKNOWN, changed_s=40.0),
    ]
    conditions = Conditions(stored)
    conditions.mark_true(ACTIVE)
    conditions.mark_unknown(SKS_READY, "NotReady", "x")
    written = {one.type: one for one in conditions.written(99.7)}
    assert written[ACTIVE].changed_s == 50.0
    assert written[SKS_READY].changed_s == 99.0
    assert (written[READY].reason, written[READY].changed_s) == ("NotReady", 99.0)
    assert list(written) == sorted(written)


def test_the_time_in_a_status_is_the_stored_ones() -> None:
    conditions = Conditions([Condition(type=ACTIVE, status=TRUE, changed_s=50.0)])
    assert conditions.in_status_s(ACTIVE, TRUE, 70.0) == 20.0
    assert conditions.in_status_s(ACTIVE, FALSE, 70.0) == -1.0
    assert fresh().in_status_s(ACTIVE, UNKNOWN, 70.0) == -1.0


def test_a_new_generation_is_unknown_until_something_is_marked() -> None:
    conditions = Conditions([Condition(type=kind, status=TRUE, changed_s=1.0) for kind in (READY, *DEPENDENTS)])
    conditions.mark_new_generation()
    assert conditions[READY].reason == "NewObservedGenFailure"
    conditions.mark_true(ACTIVE)
    assert conditions.written(9.0)[1] == Condition(type=READY, status=TRUE, changed_s=1.0)


@given(
    marks=st.lists(
        st.tuples(st.sampled_from(DEPENDENTS), st.sampled_from((TRUE, FALSE, UNKNOWN)), st.sampled_from("abc")),
        min_size=1,
    )
)
def test_ready_is_never_better_than_the_worst(marks: list[tuple[str, str, str]]) -> None:
    conditions = fresh()
    for kind, status, reason in marks:
        if status == TRUE:
            conditions.mark_true(kind)
        elif status == FALSE:
            conditions.mark_false(kind, reason, "")
        else:
            conditions.mark_unknown(kind, reason, "")
        found = {conditions.status(one) for one in DEPENDENTS}
        expected = FALSE if FALSE in found else UNKNOWN if UNKNOWN in found else TRUE
        assert conditions.status(READY) == expected


def test_times_are_read_as_they_are_written() -> None:
    assert time_text(1_790_000_000.9) == "2026-09-21T14:13:20Z"
    assert time_s(time_text(1_790_000_000)) == 1_790_000_000
