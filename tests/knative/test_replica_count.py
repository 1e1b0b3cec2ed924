"""What may change a replica count on its way to the Deployment; to zero and from it by Knative's own vectors."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings, settings_of
from dilu_autoscaler.knative.reconciling.owned_objects import activators
from dilu_autoscaler.knative.reconciling.replica_count import (
    Activity,
    Revision,
    Scaling,
    bounds_now,
    min_ready,
    replica_count,
    wanted_count,
)
from dilu_autoscaler.policy.horizontal import Bounds
from knative.revisions import CONFIG, autoscaler

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


def revision_settings(
    *, min_scale: int = 0, max_scale: int = 0, initial_scale: int = 1, reachable: bool = True
) -> RevisionSettings:
    scales = {"min-scale": min_scale, "max-scale": max_scale, "initial-scale": initial_scale}
    allowing = replace(CONFIG, autoscaler=replace(CONFIG.autoscaler, allow_zero_initial_scale=True))
    annotations = {key: str(value) for key, value in scales.items()}
    spec = {"reachability": "Reachable" if reachable else "Unreachable"}
    return settings_of(autoscaler(annotations=annotations, spec=spec), allowing)


AT_LEAST_2, AT_MOST_8 = Bounds(min_replicas=2), Bounds(max_replicas=8)
UNREACHABLE = bounds_now(revision_settings(min_scale=2, reachable=False), initialized=True)


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
    Case(
        name="minimum 2",
        desired=0,
        revision=revision(INACTIVE, 60),
        bounds=Bounds(min_replicas=2),
        want=2,
        applies=True,
    ),
    Case(
        name="unreachable: no retention, and no minimum",
        desired=0,
        revision=revision(INACTIVE, 59, retention_s=600, reachable=False),
        bounds=UNREACHABLE,
        want=0,
        applies=False,
        again=True,
    ),
    Case(
        name="maximum 8",
        desired=10,
        revision=revision(ACTIVATING, 0),
        bounds=Bounds(max_replicas=8),
        want=8,
        applies=True,
    ),
    Case(name="not known, inactive", desired=-1, revision=revision(INACTIVE, 9), want=-1, applies=False),
    Case(name="not known, active", desired=-1, revision=revision(ACTIVE, 9), want=-1, applies=False),
    Case(
        name="not known, activating, minimum 3",
        desired=-1,
        revision=revision(ACTIVATING, 9),
        bounds=Bounds(min_replicas=3),
        want=3,
        applies=True,
    ),
    Case(
        name="initial 2",
        desired=1,
        revision=revision(ACTIVATING, 0),
        bounds=bounds_now(revision_settings(initial_scale=2), initialized=False),
        want=2,
        applies=True,
    ),
    Case(
        name="initial 0",
        desired=0,
        revision=revision(INACTIVE, 0),
        bounds=bounds_now(revision_settings(initial_scale=0), initialized=False),
        want=0,
        applies=False,
        again=True,
    ),
    Case(name="never to zero", desired=0, revision=revision(ACTIVE, 999, may_be_zero=False), want=1, applies=True),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_next_step_is_knatives(case: Case) -> None:
    found = replica_count(case.desired, case.bounds, case.revision, replicas=None)
    assert (found.want, found.applies, found.again_after_s is not None, found.starts_probing) == (
        case.want,
        case.applies,
        case.again,
        case.probes,
    )


def step(of: Revision) -> Scaling:
    return replica_count(0, Bounds(), of, replicas=None)


def test_it_looks_again_when_the_clock_alone_changes_the_answer() -> None:
    assert step(revision(ACTIVE, 299)).again_after_s == 1
    assert step(revision(INACTIVE, 59, activators_in_path_for_s=20)).again_after_s == 40
    assert step(revision(INACTIVE, 50, retention_s=80)).again_after_s == 30
    assert step(revision(ACTIVATING, 10)) == Scaling(want=-1, applies=False, again_after_s=151)


@pytest.mark.parametrize(
    ("desired", "want"), [(0, 5), (4, 5), (5, 3), (6, 3)], ids=["below", "between", "at the minimum", "above"]
)
def test_where_the_bounds_contradict_each_other_the_count_is_knative_s(desired: int, want: int) -> None:
    bounds = bounds_now(revision_settings(min_scale=5, max_scale=3), initialized=True)
    assert replica_count(desired, bounds, revision(ACTIVE, 9), replicas=None).want == want


@pytest.mark.parametrize(
    ("settings", "initialized", "minimum", "ready"),
    [
        (revision_settings(), True, 0, 1),
        (revision_settings(min_scale=2), True, 2, 2),
        (revision_settings(min_scale=2, initial_scale=4), False, 4, 4),
        (revision_settings(min_scale=2, initial_scale=4), True, 2, 2),
        (revision_settings(min_scale=6, initial_scale=4), False, 6, 6),
        (revision_settings(initial_scale=0), False, 0, 0),
        (revision_settings(initial_scale=1), False, 0, 1),
        (revision_settings(min_scale=2, initial_scale=4, reachable=False), False, 0, 4),
        (revision_settings(min_scale=2, reachable=False), True, 0, 1),
    ],
)
def test_the_initial_scale_counts_until_it_was_reached_and_no_minimum_where_unreachable(
    settings: RevisionSettings, initialized: bool, minimum: int, ready: int
) -> None:
    assert bounds_now(settings, initialized=initialized) == Bounds(min_replicas=minimum)
    assert min_ready(settings, initialized=initialized) == ready


@pytest.mark.parametrize(
    ("decided", "may_give_up", "is_active", "replicas", "settles", "want"),
    [
        pytest.param(3, False, True, 3, False, 3, id="as decided"),
        pytest.param(-1, True, False, 3, True, -1, id="nothing decided"),
        pytest.param(2, True, False, 2, False, 0, id="a start without requests"),
        pytest.param(2, True, True, 2, False, 2, id="a start without requests of an active revision"),
        pytest.param(1, False, True, 4, True, 4, id="fewer while settling"),
        pytest.param(4, False, True, 4, True, 4, id="as many while settling"),
        pytest.param(6, False, True, 4, True, 6, id="more while settling"),
        pytest.param(1, False, True, None, True, 1, id="settling without a Deployment"),
        pytest.param(2, True, False, 2, True, 2, id="a start without requests while settling"),
    ],
)
def test_what_the_moment_adds_to_a_decision(
    decided: int, may_give_up: bool, is_active: bool, replicas: int | None, settles: bool, want: int
) -> None:
    found = wanted_count(decided, may_give_up=may_give_up, is_active=is_active, replicas=replicas, settles=settles)
    assert found == want


@pytest.mark.parametrize(
    ("replicas", "applies"), [(None, True), (2, True), (3, True), (4, False)], ids=["none", "fewer", "equal", "more"]
)
def test_an_activation_without_data_lowers_no_count(replicas: int | None, applies: bool) -> None:
    found = replica_count(-1, Bounds(min_replicas=3), revision(ACTIVATING, 9), replicas=replicas)
    assert (found.want, found.applies) == (3, applies)
    assert replica_count(-1, Bounds(), revision(ACTIVATING, 152), replicas=4) == Scaling(want=0, applies=True)


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
    settings = revision_settings(min_scale=least, max_scale=most, initial_scale=initial, reachable=reachable)
    bounds = bounds_now(settings, initialized=initialized)
    found = replica_count(desired, bounds, revision(activity, 1e6, reachable=reachable), replicas=None)
    if found.applies:
        assert found.want >= bounds.min_replicas
        assert not most or found.want <= most
    if desired > 0:
        assert found.applies
