"""The core kinds, with only the fields that are read. A field that an object lacks has the API's zero value.

Every kind decodes from the JSON of the API with `msgspec.json.decode(data, type=Pod)`; other fields are skipped, so
that thousands of pods stay small.
"""

from __future__ import annotations

from typing import Any

import msgspec


class ApiStruct(msgspec.Struct, rename="camel", frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """A frozen struct with the API's spelling of names."""


class OwnerReference(ApiStruct, frozen=True):
    """The owner of an object."""

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
        """Return NAMESPACE/NAME."""
        return f"{self.namespace}/{self.name}"

    @property
    def controller(self) -> OwnerReference | None:
        """Return the owner that manages the object."""
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
    """The number of pods."""

    replicas: int = 1


class Deployment(ApiStruct, frozen=True):
    """A Deployment."""

    metadata: Meta
    spec: DeploymentSpec = DeploymentSpec()


class PodCondition(ApiStruct, frozen=True):
    """One condition of a pod."""

    type: str = ""
    status: str = ""


class PodStatus(ApiStruct, frozen=True):
    """A pod's status as the kubelet reports it."""

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
        """Return whether its condition Ready is True."""
        return any(one.type == "Ready" and one.status == "True" for one in self.status.conditions)


class ConfigMap(ApiStruct, frozen=True):
    """A ConfigMap."""

    metadata: Meta
    data: dict[str, str] = {}


class LeaseSpec(ApiStruct, frozen=True):
    """The holder of a lease, and for how long without another renewal."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int = 0


class Lease(ApiStruct, frozen=True):
    """A lease."""

    metadata: Meta
    spec: LeaseSpec = LeaseSpec()


def to_json(value: object) -> Any:
    """Return a struct, or a container of structs, as plain values of JSON."""
    return msgspec.to_builtins(value)
