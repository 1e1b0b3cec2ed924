"""A Knative around the autoscaler: its ConfigMaps, one revision or more, controllers, pods and activators."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from aiohttp import web

from dilu.http.addresses import Address
from dilu.http.client.gets import GetClient, OnGetResult
from dilu_autoscaler.knative.objects import POD_AUTOSCALERS, SERVERLESS_SERVICES
from dilu_autoscaler.knative.reconciling.conditions import time_text
from dilu_autoscaler.knative.reports.stats import Stat, write_frame
from dilu_kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, PODS
from knative.queue_proxies import HANG_UP, pods, report
from kube.fake_api_server import ApiServer
from kube.object_store import Object

SERVING: Final = "knative-serving"
BUCKET: Final = "autoscaler-bucket-00-of-01"
KPA: Final = "kpa.autoscaling.knative.dev"
SHORT: Final = {
    "stable-window": "6s",
    "scale-to-zero-grace-period": "1s",
    "container-concurrency-target-default": "1",
    "container-concurrency-target-percentage": "1.0",
}
"""Windows as short as Knative allows."""


@dataclass(kw_only=True)
class Knative:
    """What Knative's own controllers, Kubernetes' and the kubelets do, at once; each pod gets the next address."""

    server: ApiServer
    addresses: list[str] = field(default_factory=list)
    starts_pods: bool = True

    def __post_init__(self) -> None:
        self.server.on_change = self._changed

    def configure(self, **maps: dict[str, str]) -> None:
        """Store all ConfigMaps; `autoscaler={...}` is the content of config-autoscaler."""
        given = {"deployment": {"queue-sidecar-image": "queue"}, "autoscaler": SHORT, **maps}
        for name in ("autoscaler", "deployment", "network", "leader-election", "observability", "logging"):
            self.config_map(f"config-{name}", given.get(name, {}))

    def config_map(self, name: str, data: dict[str, str]) -> None:
        """Store one of them."""
        self.server.put(CONFIG_MAPS, {"metadata": {"name": name, "namespace": SERVING}, "data": data})

    def revision(
        self, name: str = "rev", *, replicas: int = 0, annotations: dict[str, str] | None = None, **status: Any
    ) -> None:
        """Create a revision as its controller does: a Deployment and the PodAutoscaler."""
        labels = {"serving.knative.dev/revision": name, "serving.knative.dev/revisionUID": f"uid-of-{name}"}
        metadata = {"namespace": "ns", "labels": labels}
        deployment = {"metadata": {**metadata, "name": f"{name}-deployment"}, "spec": {"replicas": replicas}}
        self.server.put(DEPLOYMENTS, deployment)
        named = {f"autoscaling.knative.dev/{key}": text for key, text in (annotations or {}).items() if "/" not in key}
        whole = {key: text for key, text in (annotations or {}).items() if "/" in key}
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": f"{name}-deployment"}
        autoscaler = {
            "metadata": {
                **metadata,
                "name": name,
                "annotations": {"autoscaling.knative.dev/class": KPA, **named, **whole},
            },
            "spec": {"scaleTargetRef": target, "protocolType": "http1", "reachability": "Reachable"},
            **({"status": status} if status else {}),
        }
        self.server.put(POD_AUTOSCALERS, autoscaler)

    def idle_revision(self, name: str = "rev", *, annotations: dict[str, str] | None = None) -> None:
        """Create a revision that has been at zero for an hour."""
        since = time_text(time.time() - 3600.0)
        quiet = {
            "status": "False",
            "reason": "NoTraffic",
            "message": "The target is not receiving traffic.",
            "lastTransitionTime": since,
        }
        conditions = [
            {"type": "Active", **quiet},
            {"type": "Ready", **quiet},
            {"type": "SKSReady", "status": "Unknown", "reason": "NotReady", "lastTransitionTime": since},
            {"type": "ScaleTargetInitialized", "status": "True", "lastTransitionTime": since},
        ]
        self.revision(
            name,
            annotations=annotations,
            observedGeneration=1,
            conditions=conditions,
            serviceName=name,
            metricsServiceName=f"{name}-private",
            desiredScale=0,
            actualScale=0,
        )

    def replicas(self, name: str = "rev") -> int:
        """Return the replicas in the Deployment's spec."""
        found = self.server.get(DEPLOYMENTS, "ns", f"{name}-deployment")
        assert found is not None
        replicas: int = found["spec"]["replicas"]
        return replicas

    def scaled(self, name: str = "rev") -> list[int]:
        """Return the numbers that were written to the Deployment, in order."""
        patches = self.server.writes(DEPLOYMENTS, "scale")
        return [one.body[0]["value"] for one in patches if one.name == f"{name}-deployment"]

    def condition(self, kind: str, name: str = "rev") -> tuple[str, str]:
        """Return status and reason of a condition of the PodAutoscaler."""
        found = self.server.get(POD_AUTOSCALERS, "ns", name)
        assert found is not None
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == kind:
                return one["status"], one.get("reason", "")
        return "", ""

    def mode(self, name: str = "rev") -> str:
        """Return the ServerlessService's mode."""
        found = self.server.get(SERVERLESS_SERVICES, "ns", name)
        return "" if found is None else str(found["spec"]["mode"])

    def holder(self) -> str:
        """Return the holder of the bucket's Lease."""
        found = self.server.get(LEASES, SERVING, BUCKET)
        return "" if found is None else str(found["spec"]["holderIdentity"])

    def give_lease(self, holder: str) -> None:
        """Write the Lease as another holder would."""
        spec = {"holderIdentity": holder, "leaseDurationSeconds": 600, "renewTime": "2020-01-01T00:00:00.000000Z"}
        self.server.put(LEASES, {"metadata": {"name": BUCKET, "namespace": SERVING}, "spec": spec})

    def _changed(self, plural: str, found: Object) -> None:
        if plural == SERVERLESS_SERVICES.plural:
            self._serve(found["metadata"]["name"])
        elif plural == DEPLOYMENTS.plural and self.starts_pods:
            self._run_pods(found)
        elif plural == PODS.plural:
            self._serve(found["metadata"]["labels"]["serving.knative.dev/revision"])

    def _serve(self, name: str) -> None:
        """Write the ServerlessService's status."""
        sks = self.server.get(SERVERLESS_SERVICES, "ns", name)
        if sks is None:
            return
        has_pods = bool(self._pods(name))
        in_path = sks["spec"]["mode"] == "Proxy" or not has_pods
        wanted = {"ActivatorEndpointsPopulated": "True" if in_path else "False", "Ready": _word(has_pods)}
        before = {one["type"]: one for one in sks.get("status", {}).get("conditions", [])}
        conditions = [
            before[kind]
            if kind in before and before[kind]["status"] == status
            else {"type": kind, "status": status, "lastTransitionTime": time_text(time.time())}
            for kind, status in wanted.items()
        ]
        status = {
            "observedGeneration": sks["metadata"]["generation"],
            "conditions": conditions,
            "serviceName": name,
            "privateServiceName": f"{name}-private",
        }
        if sks.get("status") != status:
            self.server.change(SERVERLESS_SERVICES, "ns", name, {"status": status})

    def _run_pods(self, deployment: Object) -> None:
        labels = deployment["metadata"]["labels"]
        name = labels["serving.knative.dev/revision"]
        pods, wanted = self._pods(name), deployment["spec"]["replicas"]
        for pod in pods[wanted:]:
            self.server.remove(PODS, "ns", pod)
        for _ in range(wanted - len(pods)):
            address = self.addresses.pop(0)
            status = {
                "phase": "Running",
                "podIP": address,
                "startTime": time_text(time.time()),
                "conditions": [{"type": "Ready", "status": "True"}],
            }
            metadata = {"name": f"{name}-{address}", "namespace": "ns", "labels": labels}
            self.server.put(PODS, {"metadata": metadata, "status": status})

    def _pods(self, name: str) -> list[str]:
        return sorted(pod for pod in self.server.names(PODS) if pod.startswith(f"{name}-127."))


def _word(is_so: bool) -> str:
    return "True" if is_so else "Unknown"


class RoutedClient(GetClient):
    """The autoscaler's own client, but that fixed ports and cluster names lead to where this test listens."""

    routes: dict[Address, Address] = {}  # noqa: RUF012 - each test fills and empties it

    def get(self, address: Address, request: bytes, on_result: OnGetResult, *, keep_alive: bool = True) -> None:
        super().get(self.routes.get(address, address), request, on_result, keep_alive=keep_alive)


class Activator:
    """One activator: reports over a websocket as Knative's does, and answers the probe."""

    def __init__(self) -> None:
        self.port = 0
        self.probes = 0
        self.is_in_path = True
        self.closed_with: int | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ws: aiohttp.ClientWebSocketResponse | None = None
        self._reading: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def listen(self) -> None:
        """Answer probes."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._probed)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def connect(self, port: int) -> None:
        """Open the websocket."""
        self._session = self._session or aiohttp.ClientSession()
        self._ws = await self._session.ws_connect(
            f"ws://127.0.0.1:{port}/", headers={"Host": "autoscaler.knative-serving.svc.cluster.local:8080"}
        )
        self._reading = asyncio.create_task(self._read(self._ws))

    async def report(self, revision: str = "rev", *, concurrency: float = 1.0, requests: float = 1.0) -> None:
        """One report, stamped by who receives it."""
        assert self._ws is not None
        await self._ws.send_bytes(frame(revision, concurrency=concurrency, requests=requests))

    async def close(self) -> None:
        """End all."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _read(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        async for _ in ws:
            pass
        self.closed_with = ws.close_code

    async def _probed(self, request: web.Request) -> web.Response:
        self.probes += 1
        assert request.headers["K-Network-Probe"] == "activator"
        return web.Response(text="activator" if self.is_in_path else "queue")


class QueueProxies:
    """The queue-proxies of pods, on addresses of 127.0.0.0/8; each reports `concurrency`, or closes its connections."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses
        self.concurrency = 0.0
        self.answers = True
        self._running = contextlib.AsyncExitStack()

    async def start(self, port: int = 9090) -> dict[Address, Address]:
        """Listen; return where requests for the queue-proxies' own port must go."""
        if not self.addresses:
            return {}
        seen = await self._running.enter_async_context(pods(self._answer, *self.addresses))
        return {(address, port): (address, seen.port) for address in self.addresses}

    async def stop(self) -> None:
        """Close all servers and connections."""
        await self._running.aclose()

    def _answer(self, address: str, before: int) -> bytes:
        load = self.concurrency
        return report(address, concurrency=load, requests=load) if self.answers else HANG_UP


def frame(revision: str = "rev", *, concurrency: float = 1.0, requests: float = 1.0, time_s: int = 0) -> bytes:
    """Return a report as it is sent."""
    stat = Stat(
        key=f"ns/{revision}",
        pod="activator",
        concurrency=concurrency,
        proxied_concurrency=0.0,
        requests=requests,
        proxied_requests=0.0,
        uptime_s=0.0,
        time_s=time_s,
    )
    return write_frame([stat])


def rising(numbers: Iterable[int]) -> bool:
    """Whether no number is smaller than the one before."""
    listed = list(numbers)
    return listed == sorted(listed)
