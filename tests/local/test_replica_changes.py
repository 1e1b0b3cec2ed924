"""What a supervisor does next: out, in, replacement one by one, and back-off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.local.crash_loop import CrashLoop, NextStart, backoff_s
from dilu_autoscaler.local.rollout import RolloutChanges, RunningReplica, next_changes


def _ready(name: str, *, generation: int = 1, in_flight: int = 0, age_s: float = 100.0) -> RunningReplica:
    return RunningReplica(id=name, is_ready=True, generation=generation, in_flight=in_flight, age_s=age_s)


def _starting(name: str, *, generation: int = 1, age_s: float = 1.0) -> RunningReplica:
    return RunningReplica(id=name, is_ready=False, generation=generation, in_flight=0, age_s=age_s)


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    living: list[RunningReplica] = field(default_factory=list)
    desired: int
    replaces: bool = False
    want: RolloutChanges


CASES = [
    Case(name="nothing wanted, nothing there", desired=0, want=RolloutChanges()),
    Case(name="from zero", desired=2, want=RolloutChanges(start=2)),
    Case(name="those that start count", living=[_starting("a")], desired=2, want=RolloutChanges(start=1)),
    Case(name="as many as wanted", living=[_ready("a"), _starting("b")], desired=2, want=RolloutChanges()),
    Case(
        name="one that is not ready goes first",
        living=[_ready("a"), _starting("b"), _ready("c")],
        desired=2,
        want=RolloutChanges(stop=("b",)),
    ),
    Case(
        name="then the one with the least to finish",
        living=[_ready("a", in_flight=3), _ready("b", in_flight=1), _ready("c", in_flight=2)],
        desired=1,
        want=RolloutChanges(stop=("b", "c")),
    ),
    Case(
        name="then the youngest",
        living=[_ready("a", age_s=9.0), _ready("b", age_s=5.0)],
        desired=1,
        want=RolloutChanges(stop=("b",)),
    ),
    Case(name="to zero", living=[_ready("a"), _starting("b")], desired=0, want=RolloutChanges(stop=("b", "a"))),
    Case(
        name="a successor starts beside the old ones",
        living=[_ready("a", generation=0), _ready("b", generation=0)],
        desired=2,
        replaces=True,
        want=RolloutChanges(start=1),
    ),
    Case(
        name="and no replica stops before it is ready",
        living=[_ready("a", generation=0), _ready("b", generation=0), _starting("c")],
        desired=2,
        replaces=True,
        want=RolloutChanges(),
    ),
    Case(
        name="then one old one stops",
        living=[_ready("a", generation=0, in_flight=5), _ready("b", generation=0), _ready("c")],
        desired=2,
        replaces=True,
        want=RolloutChanges(stop=("b",)),
    ),
    Case(
        name="old ones that run stay where their successors do not start",
        living=[_ready("a", generation=0)],
        desired=1,
        replaces=False,
        want=RolloutChanges(),
    ),
    Case(
        name="scaling in while replacing spares the successor",
        living=[_ready("a", generation=0), _ready("b", generation=0), _starting("c")],
        desired=1,
        replaces=True,
        want=RolloutChanges(stop=("a",)),
    ),
    Case(
        name="zero ends a replacement",
        living=[_ready("a", generation=0)],
        desired=0,
        replaces=True,
        want=RolloutChanges(stop=("a",)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_next_changes(case: Case) -> None:
    assert next_changes(case.living, desired=case.desired, generation=1, replaces=case.replaces) == case.want


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 6))
def test_replacing_converges_and_never_leaves_fewer_ready_than_wanted(ready: int, starting: int, desired: int) -> None:
    living = [_ready(f"old-{n}", generation=0) for n in range(ready)]
    living += [_starting(f"new-{n}", generation=0) for n in range(starting)]
    floor = min(ready, desired)
    for step in range(60):
        changes = next_changes(living, desired=desired, generation=1, replaces=True)
        living = [one for one in living if one.id not in changes.stop]
        assert sum(one.is_ready for one in living) >= floor
        assert len(living) + changes.start <= max(ready + starting, desired + 1)
        living += [_starting(f"{step}-{n}") for n in range(changes.start)]
        if not changes.start and not changes.stop:
            if all(one.is_ready for one in living):
                break
            living = [replace(one, is_ready=True) for one in living]
    assert [one.generation for one in living] == [1] * desired


@pytest.mark.parametrize(
    ("failures", "was_ready", "want_s"),
    [
        (1, False, 1.0),
        (2, False, 2.0),
        (5, False, 16.0),
        (6, False, 30.0),
        (1000, False, 30.0),
        (1, True, 0.0),
        (2, True, 1.0),
        (7, True, 30.0),
    ],
)
def test_backoff(failures: int, was_ready: bool, want_s: float) -> None:
    assert backoff_s(failures, was_ready=was_ready) == want_s


def test_a_replica_that_settled_begins_a_new_count() -> None:
    ends = CrashLoop()
    rounds = [ends.add(started_s=at_s - 0.5, ready_s=None, ended_s=float(at_s)) for at_s in (100, 101, 103)]
    assert [(end.wait_s, end.is_first) for end in rounds] == [(1.0, True), (2.0, False), (4.0, False)]
    assert (ends.wait_s(104.0), ends.is_backing_off) == (3.0, True)
    assert ends.add(started_s=108.0, ready_s=110.0, ended_s=125.0) == NextStart(wait_s=0.0, is_first=True)
    assert (ends.count, ends.is_backing_off) == (1, False)
    assert ends.wait_s(125.0) == 0.0
    assert ends.add(started_s=125.5, ready_s=126.0, ended_s=127.0).wait_s == 1.0
    ends.reset()
    assert ends.wait_s(127.0) == 0.0


def test_replicas_that_were_started_together_count_once() -> None:
    ends = CrashLoop()
    assert ends.add(started_s=10.0, ready_s=None, ended_s=12.0).wait_s == 1.0
    for ended_s in (12.25, 12.5, 12.75):
        assert ends.add(started_s=10.0, ready_s=None, ended_s=ended_s).wait_s == 13.0 - ended_s
    assert ends.count == 1
    assert ends.add(started_s=13.0, ready_s=None, ended_s=15.0).wait_s == 2.0
    ends.settled()
    assert ends.add(started_s=14.0, ready_s=20.0, ended_s=21.0) == NextStart(wait_s=0.0, is_first=True)
