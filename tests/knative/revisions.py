"""Revisions and a cluster that holds one of them, as the API and Knative's own controllers would."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from dilu_autoscaler.knative.configuration.config import AutoscalerConfig, Config, DeploymentConfig
from dilu_autoscaler.knative.configuration.revision_settings import settings_of
from dilu_autoscaler.knative.objects import (
    METRICS,
    SERVERLESS_SERVICES,
    Metric,
    MetricSpec,
    PodAutoscaler,
    PodAutoscalerSpec,
    PodAutoscalerStatus,
    ServerlessService,
    ServerlessServiceSpec,
    ServerlessServiceStatus,
)
from dilu_autoscaler.knative.reconciling.cluster_view import PodCounts
from dilu_autoscaler.knative.reconciling.conditions import time_text
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView, needs_activator_answer, plan
from dilu_autoscaler.knative.reconciling.writes import Verb, Write, WriteKind
from dilu_kube.objects import ConditionObject, Meta, OwnerReference, TargetReference

NOW_S = 1_800_000_000.0
KPA = "kpa.autoscaling.knative.dev"
TARGET = TargetReference(api_version="apps/v1", kind="Deployment", name="rev-deployment")
OURS = OwnerReference(
    api_version="autoscaling.internal.knative.dev/v1alpha1",
    kind="PodAutoscaler",
    name="rev",
    uid="pa-uid",
    controller=True,
    block_owner_deletion=True,
)
CONFIG = Config(
    autoscaler=AutoscalerConfig(scale_to_zero_grace_s=60.0, stable_window_s=300),
    deployment=DeploymentConfig(progress_deadline_s=121.0),
)
"""Times as in Knative's own tests."""


def condition(kind: str, status: str, reason: str = "", message: str = "", *, for_s: float = 0.0) -> ConditionObject:
    """Return a condition that has had its status for `for_s`."""
    return ConditionObject(
        type=kind, status=status, reason=reason, message=message, last_transition_time=time_text(NOW_S - for_s)
    )


def active(for_s: float = 0.0) -> ConditionObject:
    return condition("Active", "True", for_s=for_s)


def activating(for_s: float = 0.0) -> ConditionObject:
    message = "Requests to the target are being buffered as resources are provisioned."
    return condition("Active", "Unknown", "Queued", message, for_s=for_s)


def inactive(for_s: float = 0.0, reason: str = "NoTraffic") -> ConditionObject:
    return condition("Active", "False", reason, "The target is not receiving traffic.", for_s=for_s)


def ready_like(one: ConditionObject) -> ConditionObject:
    """Return the condition Ready that follows from that one."""
    return msgspec.structs.replace(one, type="Ready")


INITIALIZED = condition("ScaleTargetInitialized", "True", for_s=1000)


def autoscaler(
    *conditions: ConditionObject,
    annotations: dict[str, str] | None = None,
    spec: dict[str, Any] | None = None,
    **status: Any,
) -> PodAutoscaler:
    """Return the PodAutoscaler of `ns/rev`; annotation names may be short."""
    named = {
        (key if "/" in key else f"autoscaling.knative.dev/{key}"): text for key, text in (annotations or {}).items()
    }
    return PodAutoscaler(
        metadata=Meta(
            name="rev",
            namespace="ns",
            uid="pa-uid",
            resource_version="7",
            generation=1,
            labels={"serving.knative.dev/revision": "rev", "app": "rev"},
            annotations={
                "autoscaling.knative.dev/class": KPA,
                "autoscaling.knative.dev/metric": "concurrency",
                **named,
            },
        ),
        spec=PodAutoscalerSpec(**{"scale_target_ref": TARGET, "protocol_type": "http1", **(spec or {})}),
        status=PodAutoscalerStatus(
            **{
                "observed_generation": 1,
                "conditions": tuple(sorted(conditions, key=lambda one: one.type)),
                **status,
            }
        ),
    )


def services(
    *,
    mode: str = "Serve",
    activators: int = 4,
    ready: bool = True,
    named: bool = True,
    private: bool = True,
    in_path_for_s: float | None = None,
    owner: OwnerReference | None = OURS,
    target: TargetReference = TARGET,
) -> ServerlessService:
    """Its ServerlessService."""
    conditions = [condition("Ready", "True") if ready else condition("Ready", "Unknown", "NoHealthyBackends", "none")]
    if in_path_for_s is not None:
        conditions.append(condition("ActivatorEndpointsPopulated", "True", for_s=in_path_for_s))
    return ServerlessService(
        metadata=Meta(
            name="rev",
            namespace="ns",
            resource_version="11",
            generation=1,
            owner_references=() if owner is None else (owner,),
        ),
        spec=ServerlessServiceSpec(mode=mode, object_ref=target, protocol_type="http1", num_activators=activators),
        status=ServerlessServiceStatus(
            observed_generation=1,
            conditions=tuple(conditions),
            service_name="rev" if named else "",
            private_service_name="rev-private" if private else "",
        ),
    )


def metric(
    *, window_s: int = 300, panic_s: int = 30, target: str = "rev-private", owner: OwnerReference | None = OURS
) -> Metric:
    """Its Metric."""
    return Metric(
        metadata=Meta(
            name="rev",
            namespace="ns",
            resource_version="13",
            generation=1,
            owner_references=() if owner is None else (owner,),
        ),
        spec=MetricSpec(stable_window=window_s * 10**9, panic_window=panic_s * 10**9, scrape_target=target),
    )


def world(pa: PodAutoscaler, **changes: Any) -> RevisionView:
    """Return a revision whose objects need no change, one pod ready and eleven wanted, as in Knative's own tests."""
    config = changes.get("config", CONFIG)
    values: dict[str, Any] = {
        "pa": pa,
        "sks": services(),
        "metric": metric(),
        "replicas": 11,
        "pods": PodCounts(ready=1),
        "desired": 11,
        "excess_burst_capacity": 0,
        "settings": settings_of(pa, config),
        "config": config,
        "activator_answers": True,
        "now_s": NOW_S,
    }
    return RevisionView(**{**values, **changes})


def kinds(writes: Iterable[Write]) -> list[str]:
    """Return what is written, in order."""
    return [str(write.kind) for write in writes]


def said(status: PodAutoscalerStatus) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    return {one.type: (one.status, one.reason) for one in status.conditions}


def scaled_to(made: RevisionPlan) -> int | None:
    """Return the number of replicas that is written."""
    for write in made.writes:
        if write.kind is WriteKind.SCALE:
            assert isinstance(write.body, list)
            return int(write.body[0]["value"])
    return None


@dataclass(kw_only=True)
class Cluster:
    """One revision's objects behind an API; time, pods and what the policy wants are set by the test."""

    pa: PodAutoscaler = field(default_factory=autoscaler)
    sks: ServerlessService | None = None
    metric: Metric | None = None
    replicas: int | None = 1
    pods: PodCounts = field(default_factory=PodCounts)
    desired: int = -1
    excess_burst_capacity: int = -1
    activator_answers: bool = True
    config: Config = CONFIG
    now_s: float = NOW_S

    def world(self) -> RevisionView:
        """Return what the autoscaler knows, with the probe's answer where one is needed."""
        known = RevisionView(
            pa=self.pa,
            sks=self.sks,
            metric=self.metric,
            replicas=self.replicas,
            pods=self.pods,
            desired=self.desired,
            excess_burst_capacity=self.excess_burst_capacity,
            settings=settings_of(self.pa, self.config),
            config=self.config,
            activator_answers=None,
            now_s=self.now_s,
        )
        return replace(known, activator_answers=self.activator_answers) if needs_activator_answer(known) else known

    def look(self) -> RevisionPlan:
        """Carry out one reconciliation."""
        made = plan(self.world())
        for write in made.writes:
            self.carry_out(write)
        return made

    def settle(self, *, most: int = 8) -> RevisionPlan:
        """Look until nothing is written any more."""
        for _ in range(most):
            made = self.look()
            if not made.writes:
                return made
        raise AssertionError(f"still writing after {most} looks: {kinds(made.writes)}")

    def rest(self, *, ready: bool) -> RevisionPlan:
        """Look, and have the ServerlessService seen to, until nothing is written any more."""
        self.settle()
        self.serve(ready=ready)
        return self.settle()

    def carry_out(self, write: Write) -> None:
        """Apply a write as the API does. One that it would refuse fails the test."""
        assert (write.namespace, write.name) == (
            ("ns", TARGET.name) if write.kind is WriteKind.SCALE else ("ns", "rev")
        )
        if write.kind is WriteKind.SCALE:
            assert isinstance(write.body, list)
            self.replicas = write.body[0]["value"]
        elif write.kind is WriteKind.PUT_STATUS:
            self._put_status(write)
        elif write.resource is SERVERLESS_SERVICES:
            self.sks = _written(write, self.sks, ServerlessService)
        else:
            assert write.resource is METRICS
            self.metric = _written(write, self.metric, Metric)

    def serve(self, *, ready: bool) -> None:
        """Do what Knative's ServerlessService controller does."""
        assert self.sks is not None
        before = {one.type: one for one in self.sks.status.conditions}
        in_path = self.sks.spec.mode == "Proxy" or not ready
        wanted = {
            "Ready": ("True", "") if ready else ("Unknown", "NoHealthyBackends"),
            "ActivatorEndpointsPopulated": ("True" if in_path else "False", ""),
        }
        conditions = [
            before[kind]
            if kind in before and (before[kind].status, before[kind].reason) == state
            else ConditionObject(
                type=kind, status=state[0], reason=state[1], last_transition_time=time_text(self.now_s)
            )
            for kind, state in wanted.items()
        ]
        status = ServerlessServiceStatus(
            observed_generation=self.sks.metadata.generation,
            conditions=tuple(conditions),
            service_name="rev",
            private_service_name="rev-private",
        )
        self.sks = msgspec.structs.replace(self.sks, status=status)

    def annotate(self, key: str, text: str) -> None:
        """Do what Knative's Revision controller does when a Revision is edited."""
        annotations = {**self.pa.metadata.annotations, key: text}
        self.pa = msgspec.structs.replace(
            self.pa, metadata=msgspec.structs.replace(self.pa.metadata, annotations=annotations)
        )

    def respec(self, **changes: Any) -> None:
        """Edit the spec, which makes a new generation."""
        meta = msgspec.structs.replace(self.pa.metadata, generation=self.pa.metadata.generation + 1)
        self.pa = msgspec.structs.replace(self.pa, metadata=meta, spec=msgspec.structs.replace(self.pa.spec, **changes))

    def _put_status(self, write: Write) -> None:
        assert (write.verb, write.subresource) == (Verb.REPLACE, "status")
        sent = msgspec.convert(write.body, type=PodAutoscaler)
        assert sent.metadata == self.pa.metadata, "a conflict"
        assert sent.spec == self.pa.spec
        version = str(int(self.pa.metadata.resource_version) + 1)
        meta = msgspec.structs.replace(self.pa.metadata, resource_version=version)
        self.pa = msgspec.structs.replace(self.pa, metadata=meta, status=sent.status)


def _written(write: Write, stored: Any, kind: Any) -> Any:
    """Return an object that was created or got another spec."""
    assert isinstance(write.body, dict)
    if write.verb is Verb.CREATE:
        assert stored is None, "it is there already"
        made = msgspec.convert(write.body, type=kind)
        meta = msgspec.structs.replace(made.metadata, resource_version="1", generation=1, uid="new")
        return msgspec.structs.replace(made, metadata=meta)
    assert stored is not None
    assert write.body["metadata"] == {"resourceVersion": stored.metadata.resource_version}
    meta = msgspec.structs.replace(
        stored.metadata,
        resource_version=str(int(stored.metadata.resource_version) + 1),
        generation=stored.metadata.generation + 1,
    )
    patched = {**msgspec.to_builtins(stored.spec), **write.body["spec"]}
    spec = msgspec.convert(patched, type=type(stored.spec))
    return msgspec.structs.replace(stored, metadata=meta, spec=spec)
