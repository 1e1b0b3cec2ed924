"""Bounds, and the way to zero and from it, by Knative's own vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.reconciling.scaling import (
    Activity,
    Bounds,
    Revision,
    Scaling,
    activators,
    activity_after,
    scale,
)

INACTIVE, ACTIVATING, ACTIVE = Activity.INACTIVE, Activity.ACTIVATING, Activity.ACTIVE


def revision(activity: Activity, for_s: float, **others: Any) -> Revision:
    values: dict[str, Any] = {
        "activity": activity,
        "activity_for_s": for_s,
        "stable_window_s": 300.0,
        "progress_deadline_s": 121.0,
        "grace_s": 60.0,
        "retention_s": 0.0,
        "may_be_zero": True,
        "reachable": True,
        "proxied": False,
        "activators_in_path_for_s": 0.0,
        "activator_answers": True,
    }
    return Revision(**{**values, **others})


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    desired: int
    revision: Revision
    bounds: Bounds = field(default_factory=Bounds)
    want: int
    applies: bool
    again: bool = False
    probes: bool = False


CASES = [
    Case(name="active not long enough", desired=0, revision=revision(ACTIVE, 299), want=1, applies=True, again=True),
    Case(name="active a whole window", desired=0, revision=revision(ACTIVE, 300), want=0, applies=False),
    Case(
        name="active a whole window, proxied already",
        desired=0,
        revision=revision(ACTIVE, 300, proxied=True),
        want=0,
        applies=False,
        again=True,
    ),
    Case(
        name="retention is not over",
        desired=0,
        revision=revision(INACTIVE, 60, retention_s=120),
        want=0,
        applies=False,
        again=True,
    ),
    Case(name="grace is over", desired=0, revision=revision(INACTIVE, 60), want=0, applies=True),
    Case(
        name="grace is not over",
        desired=0,
        revision=revision(INACTIVE, 59, activators_in_path_for_s=59),
        want=0,
        applies=False,
        again=True,
    ),
    Case(
        name="activators were in the path long enough",
        desired=0,
        revision=revision(INACTIVE, 59, activators_in_path_for_s=60),
        want=0,
        applies=True,
    ),
    Case(
        name="the activator does not answer",
        desired=0,
        revision=revision(INACTIVE, 60, activator_answers=False),
        want=0,
        applies=False,
        probes=True,
    ),
    Case(name="activation timed out", desired=0, revision=revision(ACTIVATING, 152), want=0, applies=True),
    Case(
        name="activation has time left",
        desired=0,
        revision=revision(ACTIVATING, 151),
        want=-1,
        applies=False,
        again=True,
    ),
    Case(name="least 2", desired=0, revision=revision(INACTIVE, 60), bounds=Bounds(least=2), want=2, applies=True),
    Case(
        name="unreachable: no retention, and no least",
        desired=0,
        revision=revision(INACTIVE, 59, retention_s=600, reachable=False),
        bounds=Bounds(least=2, reachable=False),
        want=0,
        applies=False,
        again=True,
    ),
    Case(name="most 8", desired=10, revision=revision(ACTIVATING, 0), bounds=Bounds(most=8), want=8, applies=True),
    Case(name="not known, inactive", desired=-1, revision=revision(INACTIVE, 9), want=-1, applies=False),
    Case(name="not known, active", desired=-1, revision=revision(ACTIVE, 9), want=-1, applies=False),
    Case(
        name="not known, activating, least 3",
        desired=-1,
        revision=revision(ACTIVATING, 9),
        bounds=Bounds(least=3),
        want=3,
        applies=True,
    ),
    Case(
        name="initial 2",
        desired=1,
        revision=revision(ACTIVATING, 0),
        bounds=Bounds(initial=2, initialized=False),
        want=2,
        applies=True,
    ),
    Case(
        name="initial 0",
        desired=0,
        revision=revision(INACTIVE, 0),
        bounds=Bounds(initial=0, initialized=False),
        want=0,
        applies=False,
        again=True,
    ),
    Case(name="never to zero", desired=0, revision=revision(ACTIVE, 999, may_be_zero=False), want=1, applies=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_next_step_is_knatives(case: Case) -> None:
    found = scale(case.desired, case.bounds, case.revision)
    assert (found.want, found.applies, found.again_after_s is not None, found.starts_probing) == (
        case.want,
        case.applies,
        case.again,
        case.probes,
    )


def test_it_looks_again_when_the_clock_alone_changes_the_answer() -> None:
    assert scale(0, Bounds(), revision(ACTIVE, 299)).again_after_s == 1
    assert scale(0, Bounds(), revision(INACTIVE, 59, activators_in_path_for_s=20)).again_after_s == 40
    assert scale(0, Bounds(), revision(INACTIVE, 50, retention_s=80)).again_after_s == 30
    assert scale(0, Bounds(), revision(ACTIVATING, 10)) == Scaling(want=-1, applies=False, again_after_s=151)


@pytest.mark.parametrize(
    ("want", "ready", "least", "before", "after"),
    [
        (0, 3, 1, ACTIVE, INACTIVE),
        (0, 0, 1, ACTIVATING, INACTIVE),
        (2, 0, 1, INACTIVE, ACTIVATING),
        (2, 0, 1, ACTIVE, ACTIVATING),
        (2, 1, 1, ACTIVATING, ACTIVE),
        (2, 1, 2, ACTIVE, ACTIVATING),
        (-1, 0, 1, INACTIVE, INACTIVE),
        (-1, 0, 1, ACTIVATING, ACTIVATING),
        (-1, 0, 1, ACTIVE, ACTIVATING),
        (-1, 1, 1, INACTIVE, INACTIVE),
        (-1, 1, 1, ACTIVATING, ACTIVE),
        (-1, 1, 1, ACTIVE, ACTIVE),
        (-1, 0, 0, ACTIVATING, INACTIVE),
    ],
)
def test_active_follows_what_is_wanted_and_ready(
    want: int, ready: int, least: int, before: Activity, after: Activity
) -> None:
    assert activity_after(before, want=want, ready=ready, least_ready=least) is after


@pytest.mark.parametrize(
    ("ready", "burst", "expected"), [(0, 200, 2), (1, 200, 3), (100, 0, 2), (5, -1, 5), (15, 200, 17)]
)
def test_as_many_activators_as_knative_has(ready: int, burst: float, expected: int) -> None:
    found = activators(ready=ready, total=100, target_burst_capacity=burst, activator_capacity=100)
    assert found == expected


@given(
    desired=st.integers(0, 50),
    least=st.integers(0, 9),
    more=st.integers(0, 9),
    initial=st.integers(0, 9),
    reachable=st.booleans(),
    initialized=st.booleans(),
    activity=st.sampled_from(Activity),
)
def test_what_is_applied_is_within_the_bounds(
    desired: int, least: int, more: int, initial: int, reachable: bool, initialized: bool, activity: Activity
) -> None:
    most = 0 if more == 0 else max(least, initial) + more
    bounds = Bounds(least=least, most=most, initial=initial, reachable=reachable, initialized=initialized)
    found = scale(desired, bounds, revision(activity, 1e6, reachable=reachable))
    if found.applies:
        assert found.want >= bounds.least_now
        assert not most or found.want <= most
    if desired > 0:
        assert found.applies
