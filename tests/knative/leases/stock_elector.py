"""A peer that does what client-go's leader election does, on virtual time: stock's autoscaler in the same election."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

from dilu_kube.client import MERGE_PATCH
from dilu_kube.errors import KubeError, NotFound
from dilu_kube.objects import Lease
from dilu_kube.resources import LEASES
from knative.leases.lease_store import BUCKET, NAMESPACE, LeaseStore, Line, MemoryClient
from loops import now_s


class StockElector:
    """Looks each `retry_s` with jitter; leads until `renew_s` have passed in vain; gives the lease back at the end."""

    def __init__(
        self,
        store: LeaseStore,
        name: str,
        *,
        lease_s: int = 60,
        renew_s: float = 40.0,
        retry_s: float = 10.0,
        seed: int = 0,
    ) -> None:
        self.identity = f"{name}_10.0.1.1"
        self.line = Line()
        self.leads = False
        self._client = MemoryClient(store, name, self.line)
        self._lease_s, self._renew_s, self._retry_s = lease_s, renew_s, retry_s
        self._random = random.Random(seed)
        self._observed: Lease | None = None
        self._observed_s = 0.0
        self._task = asyncio.get_running_loop().create_task(self._run())

    def holds(self) -> bool:
        return self.leads

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self.leads and self._observed is not None:
            self.leads = False
            spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()}
            with suppress(KubeError):
                await self._update(self._observed, spec)
        await self._client.close()

    async def die(self) -> None:
        self.line.is_down = True
        self.leads = False
        await self.close()

    async def _run(self) -> None:
        while True:
            while not await self._try():
                await asyncio.sleep(self._retry_s * (1 + 1.2 * self._random.random()))
            self.leads = True
            await self._renew()
            self.leads = False

    async def _renew(self) -> None:
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(self._renew_s):
                    while not await self._try():
                        await asyncio.sleep(self._retry_s)
                await asyncio.sleep(self._retry_s)

    async def _try(self) -> bool:
        try:
            return await self._acquire_or_renew()
        except KubeError:
            return False

    async def _acquire_or_renew(self) -> bool:
        try:
            lease = await self._client.get(LEASES, NAMESPACE, BUCKET, type=Lease)
        except NotFound:
            metadata = {"name": BUCKET, "namespace": NAMESPACE}
            head = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata}
            await self._client.create(LEASES, NAMESPACE, {**head, "spec": self._spec(0)})
            return True
        if self._observed is None or self._observed.spec != lease.spec:
            self._observed_s = now_s()
        self._observed = lease
        spec = lease.spec
        is_valid = now_s() < self._observed_s + spec.lease_duration_seconds
        if spec.holder_identity not in ("", self.identity) and is_valid:
            return False
        await self._update(lease, self._spec(spec.lease_transitions + (spec.holder_identity != self.identity)))
        return True

    async def _update(self, lease: Lease, spec: dict[str, Any]) -> None:
        change = {"metadata": {"resourceVersion": lease.metadata.resource_version}, "spec": spec}
        await self._client.patch(LEASES, NAMESPACE, BUCKET, change, content_type=MERGE_PATCH)

    def _spec(self, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._lease_s,
            "renewTime": self._now(),
            "leaseTransitions": transitions,
        }

    def _now(self) -> str:
        return f"at {now_s():.6f} s"
