"""One revision as the objects that Knative's Revision controller and its autoscaler would leave."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

Manifest = dict[str, Any]

NAMESPACE: Final = "shop"
POD_AUTOSCALERS: Final = ("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler")
METRICS: Final = ("autoscaling.internal.knative.dev/v1alpha1", "Metric")
SERVERLESS_SERVICES: Final = ("networking.internal.knative.dev/v1alpha1", "ServerlessService")
DEPLOYMENTS: Final = ("apps/v1", "Deployment")
PODS: Final = ("v1", "Pod")
IDLE_LABEL: Final = "dilu-benchmark/idle"

SERVING_DOMAIN: Final = "serving.knative.dev"
_SCALING: Final = "autoscaling.knative.dev"
_LONG_AGO: Final = timedelta(hours=1)  # further back than any window or grace period


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One of the world's revisions; `pods` are its addresses."""

    name: str
    pods: tuple[str, ...]
    number: int

    @property
    def key(self) -> str:
        """NAMESPACE/NAME."""
        return f"{NAMESPACE}/{self.name}"

    @property
    def is_idle(self) -> bool:
        """Whether it is at zero."""
        return not self.pods

    @property
    def deployment(self) -> str:
        """The name of its Deployment."""
        return f"{self.name}-deployment"


def busy_revision(number: int, pods: int) -> Revision:
    """Return one with pods, at addresses of its own."""
    first = 512 + number * pods
    addresses = tuple(f"10.88.{index // 256}.{index % 256}" for index in range(first, first + pods))
    return Revision(name=f"busy-{number:05}-00001", pods=addresses, number=number)


def idle_revision(number: int) -> Revision:
    """Return one at zero."""
    return Revision(name=f"idle-{number:05}-00001", pods=(), number=number)


def uid_of(revision: Revision, part: str) -> str:
    """Return a stable id of one of its parts."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{revision.name}.{part}"))


def long_ago() -> str:
    """Return a time further back than any window or grace period, as the API writes times."""
    return (datetime.now(UTC) - _LONG_AGO).strftime("%Y-%m-%dT%H:%M:%SZ")


def labels(revision: Revision) -> dict[str, str]:
    """Return the labels of all objects of a revision."""
    service = revision.name.removesuffix("-00001")
    return {
        f"{SERVING_DOMAIN}/revision": revision.name,
        f"{SERVING_DOMAIN}/revisionUID": uid_of(revision, "revision"),
        f"{SERVING_DOMAIN}/configuration": service,
        f"{SERVING_DOMAIN}/configurationGeneration": "1",
        f"{SERVING_DOMAIN}/configurationUID": uid_of(revision, "configuration"),
        f"{SERVING_DOMAIN}/service": service,
        f"{SERVING_DOMAIN}/serviceUID": uid_of(revision, "service"),
        "app": revision.name,
        **({IDLE_LABEL: "true"} if revision.is_idle else {}),
    }


def _annotations(revision: Revision) -> dict[str, str]:
    scale = str(len(revision.pods))
    bounds = {} if revision.is_idle else {f"{_SCALING}/min-scale": scale, f"{_SCALING}/max-scale": scale}
    return {f"{_SCALING}/class": f"kpa.{_SCALING}", **bounds, f"{SERVING_DOMAIN}/creator": "bench"}


def owned_by(api_version: str, kind: str, name: str, uid: str) -> list[dict[str, object]]:
    """Return the reference to the one owner that manages an object."""
    return [
        {
            "apiVersion": api_version,
            "kind": kind,
            "name": name,
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def head_of(kind: tuple[str, str], revision: Revision, metadata: Mapping[str, object]) -> Manifest:
    """Return an object of this kind without its spec."""
    named = {"name": revision.name, "namespace": NAMESPACE, "labels": labels(revision)}
    return {"apiVersion": kind[0], "kind": kind[1], "metadata": {**named, **metadata}}


def pod_autoscaler(revision: Revision) -> Manifest:
    """Return the PodAutoscaler as the Revision controller makes it."""
    annotations = {**_annotations(revision), f"{_SCALING}/metric": "concurrency"}
    owner = owned_by(f"{SERVING_DOMAIN}/v1", "Revision", revision.name, uid_of(revision, "revision"))
    head = head_of(POD_AUTOSCALERS, revision, {"annotations": annotations, "ownerReferences": owner})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision.deployment}
    # 10 at a time: with 3 pods the activator stays in the way, and so at a start no ServerlessService changes its mode.
    spec = {"containerConcurrency": 10, "scaleTargetRef": target, "reachability": "Reachable", "protocolType": "http1"}
    return {**head, "spec": spec}


def pod_autoscaler_status(revision: Revision) -> dict[str, object]:
    """Return the settled status of the PodAutoscaler; one at zero has no desired scale yet."""
    if revision.is_idle:
        no_traffic = ("False", "NoTraffic", "The target is not receiving traffic.")
        conditions = [
            condition("Active", *no_traffic),
            condition("Ready", *no_traffic),
            condition("SKSReady", "Unknown", "NotReady", "NoHealthyBackends"),
            condition("ScaleTargetInitialized", "True"),
        ]
    else:
        conditions = [condition(kind, "True") for kind in ("Active", "Ready", "SKSReady", "ScaleTargetInitialized")]
    scale = len(revision.pods)
    return {
        "observedGeneration": 1,
        "conditions": conditions,
        "serviceName": revision.name,
        "metricsServiceName": f"{revision.name}-private",
        "actualScale": scale,
        **({} if revision.is_idle else {"desiredScale": scale}),
    }


def condition(kind: str, status: str, reason: str = "", message: str = "", severity: str = "") -> dict[str, str]:
    """Return one condition of a status, unchanged for long, without empty fields."""
    values = {"type": kind, "status": status, "reason": reason, "message": message, "severity": severity}
    return {name: value for name, value in values.items() if value} | {"lastTransitionTime": long_ago()}


def serverless_service(revision: Revision, autoscaler_uid: str) -> Manifest:
    """Return the ServerlessService as an autoscaler makes it."""
    owner = owned_by(*POD_AUTOSCALERS, revision.name, autoscaler_uid)
    head = head_of(SERVERLESS_SERVICES, revision, {"annotations": _annotations(revision), "ownerReferences": owner})
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": revision.deployment}
    return {**head, "spec": {"mode": "Proxy", "objectRef": target, "protocolType": "http1", "numActivators": 3}}


def serverless_service_status(revision: Revision) -> dict[str, object]:
    """Return the status of the ServerlessService as its controller would write it."""
    there = ("Unknown", "NoHealthyBackends", "NoHealthyBackends") if revision.is_idle else ("True", "", "")
    return {
        "observedGeneration": 1,
        "conditions": [
            condition("ActivatorEndpointsPopulated", "True", severity="Info"),
            condition("EndpointsPopulated", *there),
            condition("Ready", *there),
        ],
        "serviceName": revision.name,
        "privateServiceName": f"{revision.name}-private",
    }


def metric(revision: Revision, autoscaler_uid: str) -> Manifest:
    """Return the Metric as an autoscaler makes it."""
    annotations = {**_annotations(revision), f"{_SCALING}/metric": "concurrency"}
    owner = owned_by(*POD_AUTOSCALERS, revision.name, autoscaler_uid)
    spec = {"stableWindow": 60_000_000_000, "panicWindow": 6_000_000_000, "scrapeTarget": f"{revision.name}-private"}
    return {**head_of(METRICS, revision, {"annotations": annotations, "ownerReferences": owner}), "spec": spec}


def metric_status(revision: Revision) -> dict[str, object]:
    """Return the status of the Metric."""
    return {"observedGeneration": 1, "conditions": [condition("Ready", "True")]}
