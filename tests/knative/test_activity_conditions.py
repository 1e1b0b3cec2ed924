"""What the conditions of a PodAutoscaler become: the whole truth table, and when their times change."""

from __future__ import annotations

from itertools import product

import msgspec
import pytest

from dilu_autoscaler.knative.configuration.config import AutoscalerConfig, Config
from dilu_autoscaler.knative.configuration.revision_settings import settings_of
from dilu_autoscaler.knative.objects import PodAutoscalerStatus
from dilu_autoscaler.knative.reconciling.conditions import time_text
from dilu_autoscaler.knative.reconciling.status_draft import StatusDraft
from dilu_kube.objects import ConditionObject
from knative.revisions import (
    INITIALIZED,
    NOW_S,
    activating,
    active,
    autoscaler,
    condition,
    inactive,
    said,
)

STATES = {"active": active(9), "activating": activating(9), "inactive": inactive(9)}
ZERO = Config(autoscaler=AutoscalerConfig(initial_scale=0, allow_zero_initial_scale=True))
NO_TRAFFIC, TIMED_OUT = ("False", "NoTraffic"), ("False", "TimedOut")
QUEUED, ACTIVE = ("Unknown", "Queued"), ("True", "")
INITIAL = condition("ScaleTargetInitialized", "Unknown", for_s=9)


def marked(
    state: ConditionObject,
    *,
    want: int,
    ready: int,
    least: int = 1,
    initialized: bool = True,
    named: bool = True,
    generation: int = 1,
) -> PodAutoscalerStatus:
    pa = autoscaler(
        state,
        INITIALIZED if initialized else INITIAL,
        annotations={"min-scale": str(least)} if least else {},
        service_name="rev" if named else "",
        observed_generation=generation,
        desired_scale=5,
    )
    draft = StatusDraft(pa, settings_of(pa, Config() if least else ZERO), NOW_S)
    draft.mark_sks_ready()
    draft.mark_counts(want=want, ready=ready)
    return draft.status()


def active_after(want: int, ready: int, least: int, before: str) -> tuple[str, str]:
    """Knative's table, row by row."""
    if want == 0 or least == 0:
        return TIMED_OUT if before == "activating" and least > 0 else NO_TRAFFIC
    if want > 0:
        return ACTIVE if ready >= least else QUEUED
    if before == "inactive":
        return NO_TRAFFIC
    return ACTIVE if ready >= least else QUEUED


@pytest.mark.parametrize(
    ("want", "ready", "least", "before", "named"),
    list(product((-1, 0, 1, 3), (0, 1, 2, 3), (0, 1, 2), STATES, (True, False))),
)
def test_activity_follows_from_what_is_wanted_and_there(
    want: int, ready: int, least: int, before: str, named: bool
) -> None:
    # A least of 0 is only possible with an initial scale of 0, before it was reached.
    status = marked(STATES[before], want=want, ready=ready, least=least, initialized=least > 0, named=named)
    assert said(status)["Active"] == active_after(want, ready, least, before)


@pytest.mark.parametrize(("initialized", "ready", "named"), list(product((True, False), (0, 1, 2, 3), (True, False))))
def test_the_scale_target_is_initialized_once_and_for_all(initialized: bool, ready: int, named: bool) -> None:
    status = marked(active(), want=2, ready=ready, least=2, initialized=initialized, named=named)
    expected = "True" if initialized or (ready >= 2 and named) else "Unknown"
    assert said(status)["ScaleTargetInitialized"] == (expected, "")


@pytest.mark.parametrize(
    ("initial", "least", "initialized", "reachability", "needed"),
    [
        ("1", "0", False, "", 1),
        ("5", "0", False, "", 5),
        ("5", "7", False, "", 7),
        ("5", "7", False, "Unreachable", 5),
        ("5", "7", True, "Unreachable", 1),
        ("5", "7", True, "Reachable", 7),
        ("5", "0", True, "", 1),
    ],
)
def test_a_number_has_to_be_ready(initial: str, least: str, initialized: bool, reachability: str, needed: int) -> None:
    pa = autoscaler(
        *([INITIALIZED] if initialized else []),
        annotations={"initial-scale": initial, "min-scale": least},
        spec={"reachability": reachability},
        service_name="rev",
    )
    for ready, state in ((needed - 1, QUEUED), (needed, ACTIVE)):
        draft = StatusDraft(pa, settings_of(pa, Config()), NOW_S)
        draft.mark_counts(want=9, ready=ready)
        assert said(draft.status())["Active"] == state


def test_the_older_reason_stays_while_nothing_is_known_and_enough_are_ready() -> None:
    assert said(marked(inactive(reason="TimedOut"), want=-1, ready=1))["Active"] == TIMED_OUT
    assert said(marked(inactive(reason="TimedOut"), want=-1, ready=0))["Active"] == NO_TRAFFIC
    assert said(marked(inactive(reason="TimedOut"), want=0, ready=0))["Active"] == NO_TRAFFIC


@pytest.mark.parametrize(("want", "stored", "expected"), [(-1, 5, 5), (-1, 0, 0), (-1, -1, -1), (0, 5, 0), (3, -1, 3)])
def test_what_is_unknown_does_not_replace_what_was_known(want: int, stored: int, expected: int) -> None:
    pa = autoscaler(active(), desired_scale=stored)
    draft = StatusDraft(pa, settings_of(pa, Config()), NOW_S)
    draft.mark_counts(want=want, ready=4)
    assert (draft.status().desired_scale, draft.status().actual_scale) == (expected, 4)


def test_a_first_status_says_that_nothing_is_known() -> None:
    pa = autoscaler()
    draft = StatusDraft(pa, settings_of(pa, Config()), NOW_S)
    draft.mark_counts(want=-1, ready=0)
    status = draft.status()
    assert (status.desired_scale, status.actual_scale, status.service_name) == (-1, 0, "")
    assert [one.type for one in status.conditions] == ["Active", "Ready", "SKSReady", "ScaleTargetInitialized"]
    assert {one.last_transition_time for one in status.conditions} == {time_text(NOW_S)}


@pytest.mark.parametrize(
    ("want", "ready", "least", "before", "generation"),
    list(product((-1, 0, 2), (0, 2), (1, 2), STATES, (0, 1))),
)
def test_a_second_round_changes_no_time(want: int, ready: int, least: int, before: str, generation: int) -> None:
    first = marked(STATES[before], want=want, ready=ready, least=least, generation=generation)
    pa = msgspec.structs.replace(autoscaler(annotations={"min-scale": str(least)}), status=first)
    draft = StatusDraft(pa, settings_of(pa, Config()), NOW_S + 1000)
    draft.mark_sks_ready()
    draft.mark_counts(want=want, ready=ready)
    second = draft.status()
    same = said(first)["Active"] == said(second)["Active"]  # but for the reason that follows a time-out
    assert same == (said(first)["Active"] != TIMED_OUT)
    if same:
        assert second == first


def test_only_what_changes_gets_a_new_time() -> None:
    pa = autoscaler(
        active(100), INITIALIZED, condition("SKSReady", "True", for_s=50), condition("Ready", "True", for_s=40)
    )
    draft = StatusDraft(pa, settings_of(pa, Config()), NOW_S + 0.9)
    draft.mark_sks_not_ready("no pods")
    draft.mark_counts(want=1, ready=1)
    times = {one.type: one.last_transition_time for one in draft.status().conditions}
    assert times == {
        "Active": time_text(NOW_S - 100),
        "Ready": time_text(NOW_S),
        "SKSReady": time_text(NOW_S),
        "ScaleTargetInitialized": INITIALIZED.last_transition_time,
    }


@pytest.mark.parametrize("text", [None, "", "yesterday", "9999999-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_read_counts_as_none(text: str | None) -> None:
    odd = ConditionObject(type="Active", status="False", last_transition_time=text)
    pa = autoscaler(odd)
    draft = StatusDraft(pa, settings_of(pa, Config()), NOW_S)
    assert draft.activity_for_s == -1.0
    assert draft.status().conditions[0].last_transition_time == time_text(NOW_S)


def test_what_is_not_stored_yet_has_been_so_since_now() -> None:
    for conditions in ((), (condition("Ready", "True"),)):
        pa = autoscaler(*conditions)
        assert StatusDraft(pa, settings_of(pa, Config()), NOW_S).activity_for_s == 0.0
