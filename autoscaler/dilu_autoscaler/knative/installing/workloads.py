"""The two Deployments of a hand-over, Knative's autoscaler and ours, and the leases that they exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from dilu.errors import DiluError
from dilu_autoscaler.knative.buckets.hashing import bucket_name
from dilu_autoscaler.knative.buckets.holder_identity import Holder, holder_of
from dilu_autoscaler.knative.configuration.config import LEADER_ELECTION, parse_leader_election
from dilu_kube.client import MERGE_PATCH, Conflict, KubeClient, NotFound, Refused, Unreachable
from dilu_kube.objects import ConfigMap, Lease, Meta
from dilu_kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES

STOCK_REPLICAS: Final = "dilu.dev/stock-replicas"
"""Annotation of Knative's Deployment `autoscaler` while it is scaled to zero: how many replicas it had."""

_OPERATOR_KIND: Final = "KnativeServing"
_POLL_S: Final = 0.5
_ATTEMPTS: Final = 5

T = TypeVar("T")


class TakeoverError(DiluError):
    """A hand-over between Knative's autoscaler and ours cannot be made; the message says what to do."""


class WorkloadSpec(msgspec.Struct, rename="camel", frozen=True):
    """The number of pods."""

    replicas: int = 1


class WorkloadStatus(msgspec.Struct, rename="camel", frozen=True):
    """The progress of the Deployment controller."""

    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0


class Workload(msgspec.Struct, rename="camel", frozen=True):
    """A Deployment with the part of its status that a hand-over reads."""

    metadata: Meta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    @property
    def is_rolled_out(self) -> bool:
        """Return whether all its pods are of its last version, and available."""
        want, now = self.spec.replicas, self.status
        is_seen = now.observed_generation >= self.metadata.generation
        return is_seen and now.replicas == now.updated_replicas == now.available_replicas == want

    @property
    def is_available(self) -> bool:
        """Return whether enough pods are available."""
        is_seen = self.status.observed_generation >= self.metadata.generation
        return is_seen and self.status.available_replicas >= self.spec.replicas

    @property
    def operator(self) -> str | None:
        """Return the KnativeServing by which Knative Operator manages it and would set its replicas again."""
        owners = (owner.name for owner in self.metadata.owner_references if owner.kind == _OPERATOR_KIND)
        return next(owners, None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingNamespace:
    """The namespace of both Deployments, and the time limit of a step."""

    client: KubeClient
    name: str
    within_s: float = 120.0
    poll_s: float = _POLL_S

    async def deployment(self, name: str) -> Workload | None:
        """Return a Deployment as it is now; None if it does not exist."""
        try:
            return await self.client.get(DEPLOYMENTS, self.name, name, type=Workload)
        except NotFound:
            return None

    async def change(self, name: str, change: Callable[[Workload], Mapping[str, Any] | None]) -> Workload | None:
        """Patch a Deployment and return it; None if it does not exist.

        `change` returns the merge patch for its present state, or None to leave it. After a conflict or a missing
        answer it is read again, which also shows whether the patch was done.
        """
        for attempt in range(_ATTEMPTS):
            try:
                return await self._changed_once(name, change)
            except (Conflict, Unreachable):
                if attempt == _ATTEMPTS - 1:
                    raise
            await asyncio.sleep(self.poll_s)
        raise AssertionError("the last attempt returns or raises")

    async def _changed_once(self, name: str, change: Callable[[Workload], Mapping[str, Any] | None]) -> Workload | None:
        found = await self.deployment(name)
        patch = None if found is None else change(found)
        if found is None or patch is None:
            return found
        metadata = {**patch.get("metadata", {}), "resourceVersion": found.metadata.resource_version}
        body = {**patch, "metadata": metadata}
        data = await self.client.patch(DEPLOYMENTS, self.name, name, body, content_type=MERGE_PATCH)
        return msgspec.json.decode(data, type=Workload)

    async def until(
        self, read: Callable[[], Awaitable[T]], is_so: Callable[[T], bool], explain: Callable[[T], str]
    ) -> T:
        """Read until `is_so` holds and return what was read. After the limit, raise `TakeoverError`.

        Server errors and missing answers are retried until the limit.
        """
        deadline_s = time.monotonic() + self.within_s
        while True:
            is_last = time.monotonic() >= deadline_s
            try:
                seen = await read()
                if is_so(seen):
                    return seen
                if is_last:
                    raise TakeoverError(explain(seen))
            except (Refused, Unreachable):
                if is_last:
                    raise
            await asyncio.sleep(self.poll_s)

    async def holders(self) -> dict[str, Holder]:
        """Return the holder of each bucket that Knative's configuration has."""
        return {bucket: holder_of(lease.spec.holder_identity) for bucket, lease in (await self.leases()).items()}

    async def leases(self) -> dict[str, Lease]:
        """Return the lease of each bucket; an empty one if it does not exist yet."""
        found: dict[str, Lease] = {}
        for bucket in await self._buckets():
            try:
                found[bucket] = await self.client.get(LEASES, self.name, bucket, type=Lease)
            except NotFound:
                found[bucket] = Lease(metadata=Meta(name=bucket, namespace=self.name))
        return found

    async def _buckets(self) -> list[str]:
        try:
            settings = await self.client.get(CONFIG_MAPS, self.name, LEADER_ELECTION, type=ConfigMap)
        except NotFound:
            settings = ConfigMap(metadata=Meta())
        count = parse_leader_election(settings.data).buckets
        return [bucket_name(ordinal, count) for ordinal in range(count)]
