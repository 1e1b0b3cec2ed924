"""Writes to the API as plain values, so that the code that sends them knows nothing of autoscaling."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dilu.errors import ConfigError
from dilu_autoscaler.knative.objects import (
    METRICS,
    POD_AUTOSCALERS,
    Metric,
    MetricStatus,
    PodAutoscaler,
    PodAutoscalerStatus,
    ServerlessService,
)
from dilu_autoscaler.knative.reconciling.conditions import condition_json
from dilu_kube.objects import TargetReference, to_json
from dilu_kube.resources import DEPLOYMENTS, JSON_PATCH, MERGE_PATCH, Resource


class Verb(StrEnum):
    """The verb of a request."""

    CREATE = "create"  # POST
    PATCH = "patch"
    REPLACE = "replace"  # PUT


class WriteKind(StrEnum):
    """The kind of a write, for logs and counters."""

    CREATE_SKS = "create-sks"
    UPDATE_SKS = "update-sks"
    CREATE_METRIC = "create-metric"
    UPDATE_METRIC = "update-metric"
    SCALE = "scale"
    PUT_STATUS = "put-status"
    METRIC_STATUS = "metric-status"


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One request."""

    kind: WriteKind
    verb: Verb
    resource: Resource
    namespace: str
    name: str
    body: dict[str, Any] | list[dict[str, Any]]
    subresource: str = ""
    content_type: str = ""
    """Of a patch: JSON_PATCH or MERGE_PATCH."""
    if_it_fails: Write | None = None
    """The write that then replaces the rest of the plan: the status as far as it was known."""


def create(kind: WriteKind, resource: Resource, namespace: str, name: str, body: dict[str, Any]) -> Write:
    """Return the write of a new object."""
    return Write(kind=kind, verb=Verb.CREATE, resource=resource, namespace=namespace, name=name, body=body)


def update_spec(kind: WriteKind, resource: Resource, found: ServerlessService | Metric, spec: dict[str, Any]) -> Write:
    """Return the write of an object's spec, which the API refuses if the object changed since it was read.

    It is a patch, so that fields that are not decoded here, such as finalizers, stay.
    """
    return Write(
        kind=kind,
        verb=Verb.PATCH,
        resource=resource,
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        body={"metadata": {"resourceVersion": found.metadata.resource_version}, "spec": spec},
        content_type=MERGE_PATCH,
    )


def scale_to(target: TargetReference, namespace: str, replicas: int) -> Write:
    """Return the write of a replica count. Raises `ConfigError` for a target without a valid kind."""
    return Write(
        kind=WriteKind.SCALE,
        verb=Verb.PATCH,
        resource=scalable(target),
        namespace=namespace,
        name=target.name,
        subresource="scale",
        body=[{"op": "add", "path": "/spec/replicas", "value": replicas}],
        content_type=JSON_PATCH,
    )


def scalable(target: TargetReference) -> Resource:
    """Return the resource of a scale target; its plural is guessed from its kind, as Knative does.

    >>> scalable(TargetReference(api_version="example.org/v1", kind="Process", name="p")).plural
    'processes'
    """
    if (target.api_version, target.kind) == (DEPLOYMENTS.api_version, DEPLOYMENTS.kind):
        return DEPLOYMENTS
    group, _, version = target.api_version.rpartition("/")
    if "/" in group or not version or not target.kind:
        raise ConfigError(
            f"scaleTargetRef {target.name!r}: apiVersion {target.api_version!r} and kind {target.kind!r} "
            "must be such as apps/v1 and Deployment"
        )
    lowered = target.kind.lower()
    plural = f"{lowered}es" if lowered.endswith("s") else f"{lowered}s"
    return Resource(group=group, version=version, kind=target.kind, plural=plural)


def status_write(pa: PodAutoscaler, status: PodAutoscalerStatus) -> Write | None:
    """Return the write that sets a PodAutoscaler's status; None if it has it.

    The API ignores all but the status, but Knative's webhook requires a whole object. After a conflict, read the object
    and plan again.
    """
    if status == pa.status:
        return None
    return Write(
        kind=WriteKind.PUT_STATUS,
        verb=Verb.REPLACE,
        resource=POD_AUTOSCALERS,
        namespace=pa.metadata.namespace,
        name=pa.metadata.name,
        subresource="status",
        body={
            **typed(POD_AUTOSCALERS),
            "metadata": to_json(pa.metadata),
            "spec": {"scaleTargetRef": {}, "protocolType": "", **to_json(pa.spec)},
            "status": {**to_json(status), "conditions": [condition_json(one) for one in status.conditions]},
        },
    )


def metric_status_write(metric: Metric, status: MetricStatus) -> Write | None:
    """Return the write that sets a Metric's status; None if it has it."""
    if status == metric.status:
        return None
    return Write(
        kind=WriteKind.METRIC_STATUS,
        verb=Verb.PATCH,
        resource=METRICS,
        namespace=metric.metadata.namespace,
        name=metric.metadata.name,
        subresource="status",
        body={
            "metadata": {"resourceVersion": metric.metadata.resource_version},
            "status": {
                "observedGeneration": status.observed_generation,
                "conditions": [condition_json(one) for one in status.conditions],
            },
        },
        content_type=MERGE_PATCH,
    )


def typed(resource: Resource) -> dict[str, Any]:
    """Return the apiVersion and kind of a resource."""
    return {"apiVersion": resource.api_version, "kind": resource.kind}
