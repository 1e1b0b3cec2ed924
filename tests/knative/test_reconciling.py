"""One look at a revision: Knative's own cases, and what is written of what, in which order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import pytest

from dilu_autoscaler.knative.configuration.config import AutoscalerConfig, Config
from dilu_autoscaler.knative.objects import UNKNOWN_SCALE
from dilu_autoscaler.knative.reconciling.cluster_view import PodCounts
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionView, needs_activator_answer, plan
from dilu_autoscaler.knative.reconciling.writes import Verb, WriteKind
from dilu_kube.objects import ConditionObject, OwnerReference, TargetReference
from knative.revisions import (
    CONFIG,
    INITIALIZED,
    activating,
    active,
    autoscaler,
    condition,
    inactive,
    kinds,
    metric,
    ready_like,
    said,
    scaled_to,
    services,
    world,
)

NAMES: Any = {"service_name": "rev", "metrics_service_name": "rev-private"}
SKS_READY = condition("SKSReady", "True", for_s=500)
READY = condition("Ready", "True", for_s=500)


def cluster(**changes: Any) -> Config:
    return replace(CONFIG, autoscaler=replace(CONFIG.autoscaler, **changes))


@dataclass(frozen=True, kw_only=True)
class ScaleCase:
    """A row of Knative's tests of its scaler."""

    name: str
    state: ConditionObject | None = None
    desired: int = 0
    start: int = 1
    annotations: dict[str, str] = field(default_factory=dict)
    reachability: str = ""
    config: Config = CONFIG
    answers: bool | None = True
    sks: dict[str, Any] = field(default_factory=dict)
    want: int
    patched: bool = False
    again: bool = False
    probes: bool = False
    others: tuple[ConditionObject, ...] = ()


SCALES = [
    ScaleCase(name="active, not for a window", state=active(299), want=1, again=True),
    ScaleCase(
        name="active, not for its own window", state=active(99), annotations={"window": "100s"}, want=1, again=True
    ),
    ScaleCase(name="active for its own window", state=active(300), annotations={"window": "100s"}, want=0),
    ScaleCase(name="many, active, not for a window", state=active(299), start=10, want=1, patched=True, again=True),
    ScaleCase(name="active for a window", state=active(300), want=0),
    ScaleCase(name="the same, proxied already", state=active(300), sks={"mode": "Proxy"}, want=0, again=True),
    ScaleCase(
        name="inactive for the grace, annotation takes back the cluster's retention",
        state=inactive(60),
        annotations={"scale-to-zero-pod-retention-period": "0"},
        config=cluster(retention_s=120.0),
        want=0,
        patched=True,
    ),
    ScaleCase(
        name="inactive for the grace, not for the retention",
        state=inactive(60),
        config=cluster(retention_s=120.0),
        want=0,
        again=True,
    ),
    ScaleCase(
        name="the same, retention by annotation",
        state=inactive(60),
        annotations={"scale-to-zero-pod-retention-period": "2m0s"},
        want=0,
        again=True,
    ),
    ScaleCase(
        name="inactive for grace and retention",
        state=inactive(60),
        config=cluster(retention_s=60.0),
        want=0,
        patched=True,
    ),
    ScaleCase(name="inactive for the grace", state=inactive(60), want=0, patched=True),
    ScaleCase(name="inactive, not for the grace", state=inactive(59), want=0, again=True),
    ScaleCase(
        name="the same, activators not for the grace in the path",
        state=inactive(59),
        sks={"in_path_for_s": 59.0},
        want=0,
        again=True,
    ),
    ScaleCase(
        name="the same, activators for the grace in the path, retention over",
        state=inactive(59),
        config=cluster(retention_s=42.0),
        sks={"in_path_for_s": 60.0},
        want=0,
        patched=True,
    ),
    ScaleCase(
        name="the same, activators for the grace in the path",
        state=inactive(59),
        sks={"in_path_for_s": 60.0},
        want=0,
        patched=True,
    ),
    ScaleCase(
        name="an unlimited burst target probes nothing",
        state=inactive(60),
        annotations={"target-burst-capacity": "-1"},
        answers=None,
        want=0,
        patched=True,
    ),
    ScaleCase(name="no activator answers", state=inactive(60), answers=False, want=0, probes=True),
    ScaleCase(name="the activator was not probed", state=inactive(600), answers=None, want=0, probes=True),
    ScaleCase(name="activating, not too long", state=activating(75), want=UNKNOWN_SCALE, again=True),
    ScaleCase(name="activating until its time-out", state=activating(151), want=UNKNOWN_SCALE, again=True),
    ScaleCase(name="activating for too long", state=activating(152), want=0, patched=True),
    ScaleCase(
        name="activating for too long by annotation",
        state=activating(36),
        annotations={"serving.knative.dev/progress-deadline": "5s"},
        want=0,
        patched=True,
    ),
    ScaleCase(
        name="down to min-scale before the grace",
        state=inactive(59),
        start=10,
        annotations={"min-scale": "2"},
        reachability="Reachable",
        want=2,
        patched=True,
    ),
    ScaleCase(
        name="down to min-scale after the grace",
        state=inactive(60),
        start=10,
        annotations={"min-scale": "2"},
        reachability="Reachable",
        want=2,
        patched=True,
    ),
    ScaleCase(
        name="unreachable: retention does not hold",
        state=inactive(60),
        reachability="Unreachable",
        config=cluster(retention_s=600.0),
        want=0,
        patched=True,
    ),
    ScaleCase(
        name="unreachable: the grace does",
        state=inactive(59),
        reachability="Unreachable",
        config=cluster(retention_s=600.0),
        want=0,
        again=True,
    ),
    ScaleCase(
        name="unreachable: min-scale does not hold",
        state=inactive(60),
        start=10,
        annotations={"min-scale": "2"},
        reachability="Unreachable",
        want=0,
        patched=True,
    ),
    ScaleCase(
        name="reachability unknown: min-scale holds",
        state=inactive(60),
        start=10,
        annotations={"min-scale": "2"},
        want=2,
        patched=True,
    ),
    ScaleCase(name="up", desired=10, want=10, patched=True),
    ScaleCase(name="up to max-scale", desired=10, annotations={"max-scale": "8"}, want=8, patched=True),
    ScaleCase(name="up from inactive", state=inactive(30), desired=10, want=10, patched=True),
    ScaleCase(name="inactive and unknown", state=inactive(), desired=-1, start=0, want=-1),
    ScaleCase(name="up from zero", desired=1, start=0, want=1, patched=True),
    ScaleCase(name="far up from zero", desired=10, start=0, want=10, patched=True),
    ScaleCase(name="active and unknown", state=active(), desired=-1, start=12, want=-1),
    ScaleCase(
        name="initial scale reached once",
        state=active(120),
        start=2,
        annotations={"initial-scale": "2"},
        others=(INITIALIZED,),
        want=1,
        patched=True,
        again=True,
    ),
    ScaleCase(
        name="initial scale not reached yet",
        state=activating(),
        desired=1,
        start=0,
        annotations={"initial-scale": "2"},
        want=2,
        patched=True,
    ),
    ScaleCase(
        name="initial scale reached", state=activating(), desired=1, start=5, annotations={"initial-scale": "5"}, want=5
    ),
    ScaleCase(
        name="initial scale of zero",
        state=inactive(),
        start=0,
        annotations={"initial-scale": "0"},
        config=cluster(allow_zero_initial_scale=True),
        want=0,
        again=True,
    ),
    ScaleCase(
        name="unreachable: initial scale does not hold",
        state=active(120),
        start=2,
        annotations={"initial-scale": "2"},
        reachability="Unreachable",
        want=1,
        patched=True,
        again=True,
    ),
    ScaleCase(
        name="no scale to zero", state=active(), start=10, config=cluster(scale_to_zero=False), want=1, patched=True
    ),
    ScaleCase(
        name="no scale to zero, min-scale",
        state=active(),
        start=10,
        annotations={"min-scale": "2"},
        config=cluster(scale_to_zero=False),
        want=2,
        patched=True,
    ),
    ScaleCase(
        name="no scale to zero, unknown",
        state=active(),
        desired=-1,
        start=10,
        config=cluster(scale_to_zero=False),
        want=-1,
    ),
]


def case_world(case: ScaleCase) -> RevisionView:
    conditions = (*([] if case.state is None else [case.state]), *case.others)
    pa = autoscaler(*conditions, annotations=case.annotations, spec={"reachability": case.reachability}, **NAMES)
    return world(
        pa,
        sks=services(**case.sks),
        desired=case.desired,
        replicas=case.start,
        config=case.config,
        activator_answers=case.answers,
    )


@pytest.mark.parametrize("case", SCALES, ids=lambda case: case.name)
def test_the_scale_is_decided_as_in_knative(case: ScaleCase) -> None:
    made = plan(case_world(case))
    assert (made.want, made.again_after_s is not None, made.starts_probe) == (case.want, case.again, case.probes)
    assert scaled_to(made) == (case.want if case.patched else None)
    assert made.error is None


@pytest.mark.parametrize("case", SCALES, ids=lambda case: case.name)
def test_an_activator_is_asked_exactly_where_its_answer_changes_the_plan(case: ScaleCase) -> None:
    seen = case_world(case)
    differs = plan(replace(seen, activator_answers=True)) != plan(replace(seen, activator_answers=False))
    assert needs_activator_answer(seen) == differs


def test_a_service_without_a_name_is_not_asked_and_does_not_answer() -> None:
    seen = world(autoscaler(inactive(600), metrics_service_name="rev-private"), desired=0)
    assert not needs_activator_answer(seen)
    assert plan(seen).starts_probe
    assert scaled_to(plan(seen)) is None


@pytest.mark.parametrize(
    ("state", "desired", "again_after_s"),
    [(active(299), 0, 1.0), (active(300), 0, 3.0), (activating(10), 0, 151.0), (inactive(50), 0, 60.0)],
)
def test_it_is_looked_at_again_when_the_clock_alone_can_change_it(
    state: ConditionObject, desired: int, again_after_s: float
) -> None:
    assert plan(world(autoscaler(state, **NAMES), sks=services(mode="Proxy"), desired=desired)).again_after_s == (
        again_after_s
    )


@dataclass(frozen=True, kw_only=True)
class LookCase:
    """A row of Knative's tests of its reconciler. Its default: 11 replicas wanted and there, one ready pod."""

    name: str
    conditions: tuple[ConditionObject, ...] = (active(), INITIALIZED, SKS_READY, READY)
    annotations: dict[str, str] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    writes: tuple[str, ...] = ()
    patched: int | None = None
    said: dict[str, tuple[str, str]] = field(default_factory=dict)
    scales: tuple[int, int] = (1, 11)  # actual, desired
    mode: tuple[str, int] = ("Serve", 4)


ACTIVE_SAID = {
    "Active": ("True", ""),
    "Ready": ("True", ""),
    "SKSReady": ("True", ""),
    "ScaleTargetInitialized": ("True", ""),
}
MIN_11: Any = {"annotations": {"min-scale": "11"}, "spec": {"reachability": "Reachable"}}
LOOKS = [
    LookCase(name="steady"),
    LookCase(name="the metric is missing", changes={"metric": None}, writes=("create-metric",)),
    LookCase(name="the metric is another", changes={"metric": metric(target="other")}, writes=("update-metric",)),
    LookCase(name="more pods", changes={"replicas": 1}, writes=("scale",), patched=11),
    LookCase(
        name="it becomes active again",
        conditions=(inactive(), INITIALIZED, SKS_READY, ready_like(inactive())),
        status={"actual_scale": 0, "observed_generation": 0},
        changes={"pods": PodCounts(), "sks": services(mode="Proxy", activators=2)},
        writes=("update-sks", "put-status"),
        said=ACTIVE_SAID
        | {"Active": ("Unknown", "Queued"), "SKSReady": ("Unknown", "NotReady"), "Ready": ("Unknown", "Queued")},
        scales=(0, 11),
        mode=("Serve", 3),
    ),
    LookCase(
        name="its services are still not ready",
        changes={"pods": PodCounts(ready=11), "sks": services(ready=False, activators=14)},
        writes=("put-status",),
        said=ACTIVE_SAID | {"SKSReady": ("Unknown", "NotReady"), "Ready": ("Unknown", "NotReady")},
        scales=(11, 11),
        mode=("Serve", 14),
    ),
    LookCase(
        name="its services become ready",
        conditions=(activating(), condition("SKSReady", "Unknown", "NotReady")),
        status={"actual_scale": 0, "desired_scale": -1},
        changes={"pods": PodCounts(), "sks": services(activators=3)},
        writes=("put-status",),
        said=ACTIVE_SAID
        | {
            "Active": ("Unknown", "Queued"),
            "Ready": ("Unknown", "Queued"),
            "ScaleTargetInitialized": ("Unknown", ""),
        },
        scales=(0, 11),
        mode=("Serve", 3),
    ),
    *(
        LookCase(
            name=f"one of min-scale 2 is ready, {reachability or 'reachability unknown'}",
            conditions=(),
            annotations={"min-scale": "2"},
            spec={"reachability": reachability},
            writes=("put-status",),
            said=ACTIVE_SAID
            | {
                "Active": ("Unknown", "Queued"),
                "Ready": ("Unknown", "Queued"),
                "ScaleTargetInitialized": ("Unknown", ""),
            },
        )
        for reachability in ("Reachable", "")
    ),
    LookCase(
        name="one of min-scale 2 is ready, unreachable",
        conditions=(),
        annotations={"min-scale": "2"},
        spec={"reachability": "Unreachable"},
        writes=("put-status",),
        said=ACTIVE_SAID,
    ),
    *(
        LookCase(
            name=f"two of min-scale 2 are ready, {reachability or 'reachability unknown'}",
            conditions=(activating(),),
            annotations={"min-scale": "2"},
            spec={"reachability": reachability},
            changes={"pods": PodCounts(ready=2), "sks": services(activators=5)},
            writes=("put-status",),
            said=ACTIVE_SAID,
            scales=(2, 11),
            mode=("Serve", 5),
        )
        for reachability in ("Reachable", "")
    ),
    LookCase(
        name="it has no services yet",
        conditions=(active(), READY),
        changes={"sks": None},
        writes=("create-sks", "put-status"),
        said={
            "Active": ("Unknown", "Queued"),
            "Ready": ("Unknown", "Queued"),
            "SKSReady": ("Unknown", "NotReady"),
            "ScaleTargetInitialized": ("True", ""),  # Ready was, so all that was missing counts as True
        },
        scales=(0, 11),
        mode=("Proxy", 2),
    ),
    LookCase(
        name="its services are of another target",
        changes={
            "sks": services(target=TargetReference(api_version="apps/v1", kind="Deployment", name="bar")),
        },
        writes=("update-sks", "put-status"),
        said=ACTIVE_SAID | {"SKSReady": ("Unknown", "NotReady"), "Ready": ("Unknown", "NotReady")},
    ),
    LookCase(
        name="it is not serving",
        conditions=(inactive(700), INITIALIZED, SKS_READY, ready_like(inactive(700))),
        status={"actual_scale": 0, "desired_scale": 0},
        changes={
            "pods": PodCounts(),
            "desired": 0,
            "replicas": 0,
            "sks": services(mode="Proxy", activators=3),
        },
        said=ACTIVE_SAID | {"Active": ("False", "NoTraffic"), "Ready": ("False", "NoTraffic")},
        scales=(0, 0),
        mode=("Proxy", 3),
    ),
    LookCase(
        name="the last one goes",
        conditions=(inactive(700), INITIALIZED, SKS_READY, ready_like(inactive(700))),
        status={"actual_scale": 1, "desired_scale": 0},
        changes={"desired": 0, "replicas": 1, "sks": services(mode="Proxy")},
        writes=("scale",),
        patched=0,
        said=ACTIVE_SAID | {"Active": ("False", "NoTraffic"), "Ready": ("False", "NoTraffic")},
        scales=(1, 0),
        mode=("Proxy", 4),
    ),
    LookCase(
        name="from serving to proxy",
        conditions=(active(700), INITIALIZED, SKS_READY, READY),
        changes={"desired": 0, "replicas": 1},
        writes=("update-sks", "put-status"),
        said=ACTIVE_SAID
        | {"Active": ("False", "NoTraffic"), "Ready": ("False", "NoTraffic"), "SKSReady": ("Unknown", "NotReady")},
        scales=(1, 0),
        mode=("Proxy", 4),
    ),
    LookCase(
        name="idle, but not for long enough",
        status={"actual_scale": 1, "desired_scale": 1},
        changes={"desired": 0, "replicas": 1},
        scales=(1, 1),
    ),
    LookCase(
        name="its activation fails",
        conditions=(activating(700), SKS_READY),
        status={"actual_scale": 0, "desired_scale": 0},
        changes={"desired": 0, "replicas": 1},
        writes=("scale", "update-sks", "put-status"),
        patched=0,
        said=ACTIVE_SAID
        | {"Active": ("False", "TimedOut"), "Ready": ("False", "TimedOut"), "SKSReady": ("Unknown", "NotReady")},
        scales=(1, 0),
        mode=("Proxy", 4),
    ),
    LookCase(
        name="too few, inactive, unknown",
        conditions=(
            inactive(),
            INITIALIZED,
            condition("SKSReady", "Unknown", "NotReady", "none"),
            ready_like(inactive()),
        ),
        status={"actual_scale": 1, "desired_scale": -1},
        changes={"desired": -1, "replicas": 1, "sks": services(mode="Proxy", ready=False)},
        said=ACTIVE_SAID
        | {"Active": ("False", "NoTraffic"), "Ready": ("False", "NoTraffic"), "SKSReady": ("Unknown", "NotReady")},
        scales=(1, -1),
        mode=("Proxy", 4),
        **MIN_11,
    ),
    LookCase(
        name="too few, inactive, one wanted",
        conditions=(inactive(), INITIALIZED, condition("SKSReady", "Unknown", "NotReady", "none")),
        changes={"desired": 1, "replicas": 1, "sks": services(mode="Proxy", ready=False)},
        writes=("scale", "update-sks", "put-status"),
        patched=11,
        said=ACTIVE_SAID
        | {"Active": ("Unknown", "Queued"), "Ready": ("Unknown", "Queued"), "SKSReady": ("Unknown", "NotReady")},
        **MIN_11,
    ),
    LookCase(
        name="too few, activating",
        conditions=(activating(), condition("ScaleTargetInitialized", "Unknown"), SKS_READY),
        changes={"desired": 2, "replicas": 1},
        writes=("scale", "put-status"),
        patched=11,
        said=ACTIVE_SAID
        | {
            "Active": ("Unknown", "Queued"),
            "Ready": ("Unknown", "Queued"),
            "ScaleTargetInitialized": ("Unknown", ""),
        },
        **MIN_11,
    ),
    LookCase(
        name="too few, active",
        changes={"replicas": 1},
        writes=("scale", "put-status"),
        patched=11,
        said=ACTIVE_SAID | {"Active": ("Unknown", "Queued"), "Ready": ("Unknown", "Queued")},
        **MIN_11,
    ),
    LookCase(
        name="too many, inactive",
        conditions=(inactive(), INITIALIZED, SKS_READY),
        changes={
            "desired": 0,
            "replicas": 12,
            "pods": PodCounts(ready=12),
            "sks": services(mode="Proxy", activators=15),
        },
        writes=("scale", "update-sks", "put-status"),
        patched=11,
        said=ACTIVE_SAID | {"SKSReady": ("Unknown", "NotReady"), "Ready": ("Unknown", "NotReady")},
        scales=(12, 11),
        mode=("Serve", 15),
        **MIN_11,
    ),
    LookCase(
        name="more than min-scale wanted",
        status={"actual_scale": 12, "desired_scale": 12},
        changes={"desired": 12, "replicas": 12, "pods": PodCounts(ready=12), "sks": services(activators=15)},
        scales=(12, 12),
        mode=("Serve", 15),
        **MIN_11,
    ),
    LookCase(
        name="less than min-scale wanted",
        status={"actual_scale": 12, "desired_scale": 12},
        changes={"desired": 1, "replicas": 12, "pods": PodCounts(ready=12), "sks": services(activators=15)},
        writes=("scale", "put-status"),
        patched=11,
        said=ACTIVE_SAID,
        scales=(12, 11),
        mode=("Serve", 15),
        **MIN_11,
    ),
    LookCase(
        name="at zero, unknown",
        conditions=(
            inactive(),
            INITIALIZED,
            SKS_READY,
            ready_like(inactive()),
        ),
        status={"actual_scale": 0, "desired_scale": -1},
        changes={"desired": -1, "pods": PodCounts(), "sks": services(mode="Proxy", activators=3)},
        said=ACTIVE_SAID | {"Active": ("False", "NoTraffic"), "Ready": ("False", "NoTraffic")},
        scales=(0, -1),
        mode=("Proxy", 3),
    ),
    LookCase(
        name="steady without the capacity for a burst",
        changes={"excess_burst_capacity": -42, "sks": services(mode="Proxy")},
        mode=("Proxy", 4),
    ),
    LookCase(
        name="no more capacity for a burst",
        changes={"excess_burst_capacity": -18},
        writes=("update-sks", "put-status"),
        said=ACTIVE_SAID | {"SKSReady": ("Unknown", "NotReady"), "Ready": ("Unknown", "NotReady")},
        mode=("Proxy", 4),
    ),
    LookCase(
        name="capacity for a burst again",
        changes={"excess_burst_capacity": 1, "sks": services(mode="Proxy")},
        writes=("update-sks", "put-status"),
        said=ACTIVE_SAID | {"SKSReady": ("Unknown", "NotReady"), "Ready": ("Unknown", "NotReady")},
    ),
    LookCase(
        name="an initial scale above min-scale is not reached",
        conditions=(activating(), SKS_READY),
        annotations={"min-scale": "11", "initial-scale": "20"},
        changes={
            "excess_burst_capacity": -42,
            "pods": PodCounts(ready=11),
            "sks": services(mode="Proxy", activators=14),
        },
        writes=("scale", "put-status"),
        patched=20,
        said=ACTIVE_SAID
        | {
            "Active": ("Unknown", "Queued"),
            "Ready": ("Unknown", "Queued"),
            "ScaleTargetInitialized": ("Unknown", ""),
        },
        scales=(11, 20),
        mode=("Proxy", 14),
    ),
    LookCase(
        name="an initial scale is reached",
        conditions=(activating(), SKS_READY),
        annotations={"initial-scale": "20"},
        changes={
            "excess_burst_capacity": -42,
            "pods": PodCounts(ready=20),
            "sks": services(mode="Proxy", activators=23),
        },
        writes=("scale", "put-status"),
        patched=20,
        said=ACTIVE_SAID,
        scales=(20, 20),
        mode=("Proxy", 23),
    ),
]


@pytest.mark.parametrize("case", LOOKS, ids=lambda case: case.name)
def test_a_look_leads_to_what_it_leads_to_in_knative(case: LookCase) -> None:
    status = {**NAMES, "actual_scale": 1, "desired_scale": 11, **case.status}
    made = plan(
        world(autoscaler(*case.conditions, annotations=case.annotations, spec=case.spec, **status), **case.changes)
    )
    assert tuple(kinds(made.writes)) == case.writes
    assert said(made.status) == (case.said or ACTIVE_SAID)
    assert (made.status.actual_scale, made.status.desired_scale) == case.scales
    assert (made.mode, made.activators) == case.mode
    assert scaled_to(made) == case.patched
    assert made.error is None
    assert made.wants_decider is (case.changes.get("sks", True) is not None)


ZERO = cluster(initial_scale=0, allow_zero_initial_scale=True)
NOT_READY = condition("SKSReady", "Unknown", "NotReady", "No Private Service Name")


@pytest.mark.parametrize(
    ("named", "conditions", "active_said", "initialized"),
    [
        (True, (NOT_READY,), ("False", "NoTraffic"), ("True", "")),
        (False, (NOT_READY,), ("False", "NoTraffic"), ("Unknown", "")),
        (False, (NOT_READY, INITIALIZED), ("Unknown", "Queued"), ("True", "")),
    ],
)
def test_an_initial_scale_of_zero_begins_inactive(
    named: bool, conditions: tuple[ConditionObject, ...], active_said: tuple[str, str], initialized: tuple[str, str]
) -> None:
    pa = autoscaler(*conditions, metrics_service_name="rev-private", actual_scale=0, desired_scale=-1)
    sks = services(mode="Proxy", activators=3, ready=False, named=named)
    made = plan(world(pa, config=ZERO, desired=-1, replicas=0, pods=PodCounts(), sks=sks))
    assert kinds(made.writes) == ["put-status"]
    assert said(made.status)["Active"] == active_said
    assert said(made.status)["ScaleTargetInitialized"] == initialized
    assert (made.status.service_name, made.status.desired_scale) == ("rev" if named else "", -1)


def test_a_service_of_another_owner_ends_the_reconciliation() -> None:
    foreign = OwnerReference(kind="PodAutoscaler", name="other", uid="other", controller=True)
    for owner in (foreign, None, OwnerReference(kind="PodAutoscaler", name="rev", uid="pa-uid")):
        pa = autoscaler(active(), READY, service_name="old", actual_scale=1, desired_scale=11)
        made = plan(world(pa, sks=services(owner=owner), replicas=1, desired=3))
        assert kinds(made.writes) == ["scale", "put-status"]  # as in Knative, which scales first
        assert made.error == "error reconciling SKS: PA: rev does not own SKS: rev"
        assert said(made.status)["Active"] == said(made.status)["Ready"] == ("False", "NotOwned")
        message = made.status.conditions[0].message
        assert message == 'There is an existing ServerlessService "rev" that we do not own.'
        assert (made.status.service_name, made.status.desired_scale) == ("old", 11)


def test_a_service_of_another_owner_without_a_private_one_is_left_alone() -> None:
    made = plan(world(autoscaler(), sks=services(owner=None, private=False, activators=9)))
    assert kinds(made.writes) == ["put-status"]
    assert made.error == "error reconciling SKS: PA: rev does not own SKS: rev"
    assert not made.wants_decider


def test_a_metric_of_another_owner_ends_the_reconciliation_before_anything_is_scaled() -> None:
    pa = autoscaler(active(), READY, service_name="rev", actual_scale=1, desired_scale=11)
    made = plan(world(pa, metric=metric(owner=None), sks=services(activators=9), replicas=1))
    assert kinds(made.writes) == ["put-status"]
    assert made.error == "error reconciling Metric: PA: rev does not own Metric: rev"
    assert said(made.status)["Active"] == ("False", "NotOwned")
    assert made.status.metrics_service_name == "rev-private"


def test_a_missing_deployment_is_an_error_only_where_it_has_to_be_scaled() -> None:
    made = plan(world(autoscaler(active(), INITIALIZED), replicas=None))
    assert made.error == "error scaling target: there is no Deployment ns/rev-deployment"
    assert kinds(made.writes) == ["put-status"]
    assert plan(world(autoscaler(active(), INITIALIZED), replicas=None, desired=-1)).error is None


def test_a_scale_target_that_is_none_is_an_error() -> None:
    odd = TargetReference(api_version="a/b/c", kind="Deployment", name="rev-deployment")
    made = plan(world(autoscaler(spec={"scale_target_ref": odd}), replicas=1))
    assert made.error is not None
    assert "a/b/c" in made.error


def test_services_whose_status_is_of_another_generation_are_not_ready() -> None:
    sks = services()
    stale = msgspec.structs.replace(sks, metadata=msgspec.structs.replace(sks.metadata, generation=2))
    assert said(plan(world(autoscaler(), sks=sks)).status)["SKSReady"] == ("True", "")
    assert said(plan(world(autoscaler(), sks=stale)).status)["SKSReady"] == ("Unknown", "NotReady")


def test_a_write_that_fails_leaves_the_status_as_far_as_it_had_come() -> None:
    pa = autoscaler(active(700), INITIALIZED, SKS_READY, READY, service_name="rev", actual_scale=1, desired_scale=3)
    made = plan(world(pa, metric=None, replicas=1, desired=3, sks=services(mode="Proxy")))
    assert kinds(made.writes) == ["create-metric", "scale", "update-sks", "put-status"]
    for write in made.writes[:-1]:
        left = write.if_it_fails
        assert left is not None
        assert left.kind is WriteKind.PUT_STATUS
        assert isinstance(left.body, dict)
        status = left.body["status"]
        assert (status["metricsServiceName"], status["observedGeneration"]) == ("rev-private", 1)
        assert {one["type"]: one["status"] for one in status["conditions"]}["SKSReady"] == "True"
    assert made.writes[-1].if_it_fails is None


def test_a_new_generation_is_observed_even_by_a_look_that_ends_early() -> None:
    pa = autoscaler(active(), INITIALIZED, SKS_READY, READY, observed_generation=0)
    made = plan(world(pa, replicas=None))
    assert made.status.observed_generation == 1
    assert said(made.status)["Ready"] == ("Unknown", "NewObservedGenFailure")
    assert said(plan(world(pa)).status)["Ready"] == ("True", "")


def test_the_status_keeps_its_annotations_and_conditions_of_others() -> None:
    other = condition("Other", "True", for_s=5)
    pa = autoscaler(active(), other, annotations={}, observed_generation=0)
    pa = msgspec.structs.replace(pa, status=msgspec.structs.replace(pa.status, annotations={"a": "b"}))
    made = plan(world(pa))
    assert made.status.annotations == {"a": "b"}
    assert other in made.status.conditions
    put = made.writes[-1]
    assert isinstance(put.body, dict)
    assert put.body["status"]["annotations"] == {"a": "b"}
    assert (put.verb, put.subresource) == (Verb.REPLACE, "status")


def test_nothing_is_scraped_with_an_unlimited_burst_target() -> None:
    pa = autoscaler(annotations={"target-burst-capacity": "-1"})
    made = plan(world(pa, metric=None))
    create = made.writes[0]
    assert isinstance(create.body, dict)
    assert create.body["spec"] == {"stableWindow": 300 * 10**9, "panicWindow": 30 * 10**9, "scrapeTarget": ""}


@pytest.mark.parametrize(
    ("ready", "annotation", "count"), [(0, "200", 2), (1, "200", 3), (100, "0", 2), (5, "-1", 5), (15, "200", 17)]
)
def test_as_many_activators_as_in_knative(ready: int, annotation: str, count: int) -> None:
    pa = autoscaler(annotations={"target-burst-capacity": annotation})
    assert plan(world(pa, pods=PodCounts(ready=ready))).activators == count


def test_activators_are_counted_in_32_bits() -> None:
    pa = autoscaler(annotations={"target": "1e100"})
    assert plan(world(pa, pods=PodCounts(ready=10**6))).activators == 2**31 - 1


def test_an_opted_in_revision_is_planned_alike() -> None:
    plain = autoscaler(active(), INITIALIZED, SKS_READY, READY, **NAMES)
    opted_in = autoscaler(active(), INITIALIZED, SKS_READY, READY, annotations={"dilu.dev/sm-request": "300"}, **NAMES)
    changes: dict[str, Any]
    for changes in ({}, {"desired": 3}, {"desired": 0}, {"desired": -1}, {"excess_burst_capacity": -1}):
        one, other = plan(world(plain, **changes)), plan(world(opted_in, **changes))
        assert (one.status, kinds(one.writes), one.want) == (other.status, kinds(other.writes), other.want)


def test_while_nothing_is_known_of_the_load_an_activation_is_not_made_smaller() -> None:
    pa = autoscaler(activating(10), INITIALIZED, annotations={"min-scale": "1"}, **NAMES)
    made = plan(world(pa, desired=-1, replicas=5))
    assert (made.want, scaled_to(made)) == (1, None)
    assert scaled_to(plan(world(pa, desired=-1, replicas=0))) == 1
    assert scaled_to(plan(world(pa, desired=1, replicas=5))) == 1


def test_the_default_config_is_knatives() -> None:
    assert plan(world(autoscaler(), config=Config(autoscaler=AutoscalerConfig()), metric=None)).error is None
