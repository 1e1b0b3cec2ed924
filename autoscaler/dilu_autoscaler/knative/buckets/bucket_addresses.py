"""Publishes the holder's address under the bucket's name, by a Service and an EndpointSlice.

Other autoscalers try the holder's address first, then `ws://BUCKET.NAMESPACE.svc:8080`. The objects are as Knative's
autoscaler makes them; the next holder of the bucket changes the address. Source: the Knative contract, §3.6.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from dilu.errors import ConfigError
from dilu_kube.client import KubeClient
from dilu_kube.errors import KubeError, NotFound
from dilu_kube.objects import Meta
from dilu_kube.resources import ENDPOINT_SLICES, SERVICES, Resource

SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
PORT_NAME: Final = "http"
PORT: Final = 8080
_log = logging.getLogger(__name__)


class _ApiObject(msgspec.Struct, rename="camel", frozen=True, kw_only=True):
    metadata: Meta = Meta()


class _Slice(_ApiObject, frozen=True):
    """An EndpointSlice. Absent lists come as null."""

    address_type: str = ""
    endpoints: list[dict[str, Any]] | None = None
    ports: list[dict[str, Any]] | None = None


class BucketAddresses:
    """Publishes our address for the buckets that we hold: `leases.on_change(addresses.on_lease)`."""

    def __init__(
        self, client: KubeClient, *, namespace: str, pod_ip: str, holds: Callable[[str], bool], retry_s: float = 2.0
    ) -> None:
        """Call `holds` before each write. Raises `ConfigError` for an invalid address."""
        try:
            version = ipaddress.ip_address(pod_ip).version
        except ValueError as error:
            raise ConfigError(f"pod IP = {pod_ip!r}, must be an IPv4 or IPv6 address") from error
        self.failures = 0
        self._client = client
        self._namespace = namespace
        self._pod_ip = pod_ip
        self._address_type = f"IPv{version}"
        self._holds = holds
        self._retry_s = retry_s
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def on_lease(self, bucket: str, holds_it: bool, holder: str) -> None:
        """Publish our address for a bucket that became ours; stop trying for one that we lost."""
        before = self._tasks.pop(bucket, None)
        if before is not None and not before.done():
            before.cancel()
            self._ending.add(before)
            before.add_done_callback(self._ending.discard)
        if holds_it:
            self._tasks[bucket] = asyncio.get_running_loop().create_task(self._publish(bucket))

    async def close(self) -> None:
        """Stop. Published addresses stay, for the next holder to change."""
        tasks = [*self._tasks.values(), *self._ending]
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _publish(self, bucket: str) -> None:
        is_failing = False
        while self._holds(bucket):
            try:
                await self._ensure_service(bucket)
                await self._ensure_slice(bucket)
            except KubeError as error:
                self.failures += 1
                if not is_failing:
                    is_failing = True
                    _log.warning("bucket %s: its address cannot be published, retrying: %s", bucket, error)
            else:
                return
            await asyncio.sleep(self._retry_s)

    async def _ensure_service(self, bucket: str) -> None:
        try:
            await self._client.get(SERVICES, self._namespace, bucket, type=_ApiObject)
        except NotFound:
            port = {"name": PORT_NAME, "port": PORT, "targetPort": PORT}
            # Without a selector, so that only the holder's EndpointSlice counts.
            await self._create(SERVICES, bucket, {"spec": {"ports": [port]}})

    async def _ensure_slice(self, bucket: str) -> None:
        wanted = {"endpoints": [self._endpoint()], "ports": [{"name": PORT_NAME, "port": PORT, "protocol": "TCP"}]}
        labels = {SERVICE_NAME_LABEL: bucket}
        try:
            found = await self._client.get(ENDPOINT_SLICES, self._namespace, bucket, type=_Slice)
        except NotFound:
            found = None
        if found is not None and found.address_type != self._address_type:
            if self._holds(bucket):  # a slice's family cannot be changed
                await self._client.delete(ENDPOINT_SLICES, self._namespace, bucket)
            found = None
        if found is None:
            new = {"metadata": {"labels": labels}, "addressType": self._address_type, **wanted}
            await self._create(ENDPOINT_SLICES, bucket, new)
            return
        is_labelled = found.metadata.labels.get(SERVICE_NAME_LABEL) == bucket
        if is_labelled and (found.endpoints, found.ports) == (wanted["endpoints"], wanted["ports"]):
            return
        metadata = msgspec.to_builtins(found.metadata)
        metadata["labels"] = {**found.metadata.labels, **labels}
        await self._replace(bucket, {"metadata": metadata, "addressType": self._address_type, **wanted})

    def _endpoint(self) -> dict[str, Any]:
        conditions = {"ready": True, "serving": True, "terminating": False}
        return {"addresses": [self._pod_ip], "conditions": conditions}

    async def _create(self, resource: Resource, bucket: str, body: Mapping[str, Any]) -> None:
        metadata = {**body.get("metadata", {}), "name": bucket, "namespace": self._namespace}
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        if self._holds(bucket):
            await self._client.create(resource, self._namespace, {**head, **body, "metadata": metadata})

    async def _replace(self, bucket: str, body: Mapping[str, Any]) -> None:
        head = {"apiVersion": ENDPOINT_SLICES.api_version, "kind": ENDPOINT_SLICES.kind}
        if self._holds(bucket):
            await self._client.replace(ENDPOINT_SLICES, self._namespace, bucket, {**head, **body})
