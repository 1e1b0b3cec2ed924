"""An API server with the two autoscalers' Deployments and their leases, which behave as Kubernetes lets them.

A Deployment is available at once unless it is `stuck`. A lease whose holder's Deployment is at zero becomes free, and
goes to ours if it `takes`, else to Knative's if that runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from dilu_autoscaler.knative.installing.workloads import ServingNamespace
from kube.fake_api_server import ApiServer, Request
from kube.object_store import Object, RefusedError, merged

NAMESPACE: Final = "knative-serving"
STOCK: Final = "autoscaler"
OURS: Final = "dilu-autoscaler"
_KINDS: Final = ("podautoscalers", "metrics", "serverlessservices")


def deployment(name: str, replicas: int, **metadata: Any) -> Object:
    """Return a Deployment as JSON has it."""
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "generation": 1,
            "annotations": {},
            "labels": {},
            **metadata,
        },
        "spec": {"replicas": replicas, "template": {"metadata": {}}},
    }


class FakeCluster(ApiServer):
    """Use it with `async with`; its state is in its attributes."""

    def __init__(self, folder: Path, *, buckets: int = 1) -> None:
        super().__init__(folder / "kubeconfig")
        self.deployments = {STOCK: deployment(STOCK, 1), OURS: deployment(OURS, 2)}
        self.holders = {f"autoscaler-bucket-{n:02d}-of-{buckets:02d}": STOCK for n in range(buckets)}
        self.settings: dict[str, str] | None = {"buckets": str(buckets)} if buckets != 1 else None
        self.kinds = set(_KINDS)
        self.stuck: set[str] = set()
        self.takes = True
        self.renews = True
        self.patches: list[tuple[str, Object]] = []
        self.before_write: Callable[[], None] = lambda: None
        self.failures: list[int] = []  # statuses of the next answers; 0: none
        self._version = 1

    @property
    def replicas(self) -> dict[str, int]:
        """The replicas that each Deployment's spec has."""
        return {name: found["spec"]["replicas"] for name, found in self.deployments.items()}

    def edit(self, name: str) -> Object:
        """Return the Deployment, to be changed as another program would."""
        self._version += 1
        found = self.deployments[name]
        found["metadata"]["resourceVersion"] = str(self._version)
        return found

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self._client = await self.client(request_s=2.0)
        self.serving = ServingNamespace(client=self._client, name=NAMESPACE, within_s=0.3, poll_s=0.01)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()
        await super().__aexit__(kind, error, trace)

    async def respond(self, seen: Request, request: web.Request) -> web.StreamResponse:
        """Answer as the cluster, or fail as the test wants it."""
        if self.failures and self.failures[0] == 0:
            self.failures.pop()
            assert request.transport is not None
            request.transport.close()
        if self.failures:
            raise RefusedError(self.failures.pop(0), "", "as the test wants it")
        if seen.method == "PATCH":
            return web.json_response(self._patch(seen))
        found = self._list(seen) if seen.is_collection else self._get(seen)
        if found is None:
            raise RefusedError(404, "NotFound", f"{seen.path} not found")
        return web.json_response(found)

    def _list(self, seen: Request) -> Object | None:
        if seen.plural == "pods":
            return {"metadata": {}, "items": self._pods()}
        return {"metadata": {}, "items": []} if seen.plural in self.kinds else None

    def _get(self, seen: Request) -> Object | None:
        if seen.plural == "deployments" and seen.name in self.deployments:
            return self._with_status(self.deployments[seen.name])
        if seen.plural == "leases":
            return self._lease(seen.name)
        if seen.name == "config-leader-election" and self.settings is not None:
            return {"metadata": {}, "data": self.settings}
        return None

    def _with_status(self, found: Object) -> Object:
        metadata = {"resourceVersion": "1", **found["metadata"]}
        want = found["spec"]["replicas"]
        available = 0 if found["metadata"]["name"] in self.stuck else want
        generation = metadata["generation"]
        status = {"observedGeneration": generation, "replicas": want, "updatedReplicas": want}
        return {**found, "metadata": metadata, "status": {**status, "availableReplicas": available}}

    def _lease(self, bucket: str) -> Object | None:
        if bucket not in self.holders:
            return None
        replicas = {"": 0, STOCK: 0, OURS: 0, **self.replicas}
        if not replicas[self.holders[bucket]]:
            self.holders[bucket] = OURS if self.takes and replicas[OURS] else STOCK if replicas[STOCK] else ""
        self._version += self.renews
        holder = self.holders[bucket]
        metadata = {"name": bucket, "resourceVersion": str(self._version)}
        return {"metadata": metadata, "spec": {"holderIdentity": f"{holder}-abc_10.0.0.1" if holder else ""}}

    def _pods(self) -> list[Object]:
        if OURS in self.stuck and not self.replicas[OURS]:
            return [{"metadata": {"name": f"{OURS}-abc"}}]
        ready = {"podIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
        names = [f"{OURS}-{number}" for number in range(self.replicas[OURS])]
        return [{"metadata": {"name": name}, "status": ready} for name in names]

    def _patch(self, seen: Request) -> Object:
        self.before_write()
        found = self.deployments[seen.name]
        if seen.body["metadata"].pop("resourceVersion") != found["metadata"].get("resourceVersion", "1"):
            raise RefusedError(409, "Conflict", "the object has been modified")
        self.patches.append((seen.name, seen.body))
        merged(found, seen.body)
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        return self._with_status(found)
