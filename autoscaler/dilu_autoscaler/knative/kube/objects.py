"""Just those fields of each kind that the autoscaler reads. What is absent in an object has the API's zero value here.

Every kind decodes from the JSON of the API with `msgspec.json.decode(data, type=Pod)`; other fields are skipped, which
is what keeps thousands of pods small.
"""

from __future__ import annotations

from typing import Any

import msgspec


class _Object(msgspec.Struct, rename="camel", frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Frozen, with the API's spelling of the names."""


class OwnerReference(_Object, frozen=True):
    """Who an object belongs to."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class Meta(_Object, frozen=True):
    """An object's metadata."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None

    @property
    def key(self) -> str:
        """NAMESPACE/NAME."""
        return f"{self.namespace}/{self.name}"

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages the object."""
        return next((owner for owner in self.owner_references if owner.controller), None)


class ConditionObject(_Object, frozen=True):
    """One condition in a status."""

    type: str = ""
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    severity: str = ""
    last_transition_time: str | None = None


class TargetReference(_Object, frozen=True):
    """The scalable object of a revision."""

    api_version: str = ""
    kind: str = ""
    name: str = ""


class PodAutoscalerSpec(_Object, frozen=True):
    """Written by Knative's Revision controller only."""

    container_concurrency: int = 0
    scale_target_ref: TargetReference = TargetReference()
    reachability: str = ""
    protocol_type: str = ""


class PodAutoscalerStatus(_Object, frozen=True, omit_defaults=False):
    """Written by us. The two names must be there even when they are empty."""

    observed_generation: int = 0
    conditions: tuple[ConditionObject, ...] = ()
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    service_name: str = ""
    metrics_service_name: str = ""
    desired_scale: int | msgspec.UnsetType = msgspec.UNSET
    actual_scale: int | msgspec.UnsetType = msgspec.UNSET


class PodAutoscaler(_Object, frozen=True):
    """What Knative wants scaled: one revision."""

    metadata: Meta
    spec: PodAutoscalerSpec = PodAutoscalerSpec()
    status: PodAutoscalerStatus = PodAutoscalerStatus()


class ServerlessServiceSpec(_Object, frozen=True):
    """Where a revision's requests go: to its pods (Serve), or to activators first (Proxy)."""

    mode: str = ""
    object_ref: TargetReference = TargetReference()
    protocol_type: str = ""
    num_activators: int = 0


class ServerlessServiceStatus(_Object, frozen=True):
    """Written by Knative's ServerlessService controller."""

    observed_generation: int = 0
    conditions: tuple[ConditionObject, ...] = ()
    service_name: str = ""
    private_service_name: str = ""


class ServerlessService(_Object, frozen=True):
    """A revision's Services."""

    metadata: Meta
    spec: ServerlessServiceSpec = ServerlessServiceSpec()
    status: ServerlessServiceStatus = ServerlessServiceStatus()


class MetricSpec(_Object, frozen=True, omit_defaults=False):
    """What is collected. Windows are nanoseconds; an empty target is not scraped."""

    stable_window: int = 0
    panic_window: int = 0
    scrape_target: str = ""


class MetricStatus(_Object, frozen=True):
    """Whether the collection works."""

    observed_generation: int = 0
    conditions: tuple[ConditionObject, ...] = ()


class Metric(_Object, frozen=True):
    """A revision's load, as it is collected."""

    metadata: Meta
    spec: MetricSpec = MetricSpec()
    status: MetricStatus = MetricStatus()


class DeploymentSpec(_Object, frozen=True):
    """How many pods there are to be."""

    replicas: int = 1


class Deployment(_Object, frozen=True):
    """The pods' owner."""

    metadata: Meta
    spec: DeploymentSpec = DeploymentSpec()


class PodCondition(_Object, frozen=True):
    """One condition of a pod."""

    type: str = ""
    status: str = ""


class PodStatus(_Object, frozen=True):
    """What the kubelet says of a pod; absent until it does."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str | None = None
    conditions: tuple[PodCondition, ...] = ()


class Pod(_Object, frozen=True):
    """One replica."""

    metadata: Meta
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        """Whether its condition Ready is True."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)


class ConfigMap(_Object, frozen=True):
    """Settings."""

    metadata: Meta
    data: dict[str, str] = {}


class LeaseSpec(_Object, frozen=True):
    """Who holds a lease, and until when if nobody renews it."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class Lease(_Object, frozen=True):
    """One bucket's holder."""

    metadata: Meta
    spec: LeaseSpec = LeaseSpec()


def to_json(value: object) -> Any:
    """A struct, or what contains some, as the plain values that JSON has."""
    return msgspec.to_builtins(value)
