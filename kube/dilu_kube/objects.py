"""The core kinds, with just those fields that are read. What is absent in an object has the API's zero value here.

Every kind decodes from the JSON of the API with `msgspec.json.decode(data, type=Pod)`; other fields are skipped, which
is what keeps thousands of pods small.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ApiStruct(msgspec.Struct, rename="camel", frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """Frozen, with the API's spelling of the names."""


class OwnerReference(ApiStruct, frozen=True):
    """Who an object belongs to."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False
    block_owner_deletion: bool = False


class Meta(ApiStruct, frozen=True):
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


class ConditionObject(ApiStruct, frozen=True):
    """One condition in a status."""

    type: str = ""
    status: str = "Unknown"
    reason: str = ""
    message: str = ""
    severity: str = ""
    last_transition_time: str | None = None


class TargetReference(ApiStruct, frozen=True):
    """The scalable object of a revision."""

    api_version: str = ""
    kind: str = ""
    name: str = ""


class DeploymentSpec(ApiStruct, frozen=True):
    """How many pods there are to be."""

    replicas: int = 1


class Deployment(ApiStruct, frozen=True):
    """The pods' owner."""

    metadata: Meta
    spec: DeploymentSpec = DeploymentSpec()


class PodCondition(ApiStruct, frozen=True):
    """One condition of a pod."""

    type: str = ""
    status: str = ""


class PodStatus(ApiStruct, frozen=True):
    """What the kubelet says of a pod; absent until it does."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    start_time: str | None = None
    conditions: tuple[PodCondition, ...] = ()


class Pod(ApiStruct, frozen=True):
    """One replica."""

    metadata: Meta
    status: PodStatus = PodStatus()

    @property
    def is_ready(self) -> bool:
        """Whether its condition Ready is True."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)


class ConfigMap(ApiStruct, frozen=True):
    """Settings."""

    metadata: Meta
    data: dict[str, str] = {}


class LeaseSpec(ApiStruct, frozen=True):
    """Who holds a lease, and until when if nobody renews it."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class Lease(ApiStruct, frozen=True):
    """One bucket's holder."""

    metadata: Meta
    spec: LeaseSpec = LeaseSpec()


def to_json(value: object) -> Any:
    """A struct, or what contains some, as the plain values that JSON has."""
    return msgspec.to_builtins(value)
