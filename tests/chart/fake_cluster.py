"""A small API server with the two autoscalers' Deployments and their leases, which behave as Kubernetes lets them.

A Deployment is available at once unless it is `stuck`. A lease whose holder's Deployment is at zero becomes free, and
goes to ours if it `takes`, else to Knative's if that runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from dilu_autoscaler.knative.installing.workloads import ServingNamespace
from dilu_kube.client import KubeClient

NAMESPACE: Final = "knative-serving"
STOCK: Final = "autoscaler"
OURS: Final = "dilu-autoscaler"
_DEPLOYMENTS: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/"
_LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/"
_KINDS: Final = ("podautoscalers", "metrics", "serverlessservices")

Object = dict[str, Any]


def deployment(name: str, replicas: int, **metadata: Any) -> Object:
    """One as JSON has it."""
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


class FakeCluster:
    """Use it with `async with`; its state is in its attributes."""

    def __init__(self, folder: Path, *, buckets: int = 1) -> None:
        self.kubeconfig = folder / "kubeconfig"
        self.deployments = {STOCK: deployment(STOCK, 1), OURS: deployment(OURS, 2)}
        self.holders = {f"autoscaler-bucket-{n:02d}-of-{buckets:02d}": STOCK for n in range(buckets)}
        self.settings: dict[str, str] | None = {"buckets": str(buckets)} if buckets != 1 else None
        self.kinds = set(_KINDS)
        self.stuck: set[str] = set()
        self.takes = True
        self.renews = True
        self.writes: list[tuple[str, Object]] = []
        self.before_write: Callable[[], None] = lambda: None
        self.failures: list[int] = []  # statuses of the next answers; 0: none
        self._version = 1

    @property
    def replicas(self) -> dict[str, int]:
        """What each Deployment wants."""
        return {name: found["spec"]["replicas"] for name, found in self.deployments.items()}

    def edit(self, name: str) -> Object:
        """The Deployment, to be changed by somebody else."""
        self._version += 1
        found = self.deployments[name]
        found["metadata"]["resourceVersion"] = str(self._version)
        return found

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        cluster = {"server": f"http://127.0.0.1:{self._runner.addresses[0][1]}"}
        self.kubeconfig.write_text(
            json.dumps(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "c", "user": {}}],
                }
            )
        )
        self.client = await KubeClient.connect(self.kubeconfig, request_s=2.0)
        self.serving = ServingNamespace(client=self.client, name=NAMESPACE, within_s=0.3, poll_s=0.01)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self._runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        if self.failures and self.failures[0] == 0:
            self.failures.pop()
            assert request.transport is not None
            request.transport.close()
        if self.failures:
            return _answer({"message": "as the test wants it"}, self.failures.pop(0))
        if request.method == "PATCH":
            return self._patch(request.path, await request.json())
        return self._get(request.path)

    def _get(self, path: str) -> web.Response:
        found: Object | None = None
        if path.startswith(_DEPLOYMENTS):
            name = path.removeprefix(_DEPLOYMENTS)
            found = self._with_status(self.deployments[name]) if name in self.deployments else None
        elif path.startswith(_LEASES):
            found = self._lease(path.removeprefix(_LEASES))
        elif path.endswith("/configmaps/config-leader-election"):
            found = None if self.settings is None else {"metadata": {}, "data": self.settings}
        elif path.endswith("/pods"):
            found = {"metadata": {}, "items": self._pods()}
        elif path.rpartition("/")[2] in self.kinds:
            found = {"metadata": {}, "items": []}
        return _answer({"reason": "NotFound", "message": f"{path} not found"}, 404) if found is None else _answer(found)

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

    def _patch(self, path: str, patch: Object) -> web.Response:
        self.before_write()
        name = path.removeprefix(_DEPLOYMENTS)
        found = self.deployments[name]
        if patch["metadata"].pop("resourceVersion") != found["metadata"].get("resourceVersion", "1"):
            return _answer({"reason": "Conflict", "message": "the object has been modified"}, 409)
        self.writes.append((name, patch))
        _merge(found, patch)
        self._version += 1
        found["metadata"]["resourceVersion"] = str(self._version)
        return _answer(self._with_status(found))


def _merge(target: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            _merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def _answer(body: Object, status: int = 200) -> web.Response:
    return web.json_response(body, status=status)
