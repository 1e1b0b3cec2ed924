"""Puts revisions into a world, and brings those at zero back to zero."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import harness
from autoscaler_comparison import manifests, pod_manifests
from autoscaler_comparison.manifests import Manifest, Revision
from autoscaler_comparison.world import World
from testcluster.api import KubeApi

_CONNECTIONS: Final = 16
_SAID_EVERY: Final = 100


def make_namespace(world: World) -> None:
    """Make the namespace of all revisions, and its service account, which no controller makes here."""
    metadata = {"name": manifests.NAMESPACE}
    world.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    account = {"name": "default", "namespace": manifests.NAMESPACE}
    world.api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account})


def fill(world: World, revisions: Sequence[Revision]) -> None:
    """Make all objects of these revisions, with their statuses."""
    began_s = time.monotonic()
    _on_each(world, revisions, lambda revision: _make(world.api, revision), "made")
    harness.progress(f"{len(revisions)} revisions made in {time.monotonic() - began_s:.1f} s")


def bring_to_zero(world: World, revisions: Sequence[Revision]) -> None:
    """Reset revisions to their first state, while no autoscaler runs."""
    _on_each(world, revisions, lambda revision: _reset(world.api, revision), "back at zero")


def _on_each(world: World, revisions: Sequence[Revision], do: Callable[[Revision], None], what: str) -> None:
    done = 0
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        for _ in pool.map(do, revisions):
            done += 1
            if done % _SAID_EVERY == 0:
                harness.progress(f"{done} of {len(revisions)} revisions {what}")
        together = threading.Barrier(_CONNECTIONS)
        list(pool.map(lambda _: _hang_up(world.api, together), range(_CONNECTIONS)))


def _hang_up(api: KubeApi, together: threading.Barrier) -> None:
    """Close this thread's connection, which no other thread can; each thread must call this once."""
    together.wait()
    api.close()


def _make(api: KubeApi, revision: Revision) -> None:
    autoscaler = _create(api, manifests.pod_autoscaler(revision), manifests.pod_autoscaler_status(revision))
    uid = autoscaler["metadata"]["uid"]
    _create(api, manifests.serverless_service(revision, uid), manifests.serverless_service_status(revision))
    _create(api, manifests.metric(revision, uid), manifests.metric_status(revision))
    for number, address in enumerate(revision.pods):
        _create(api, pod_manifests.pod(revision, number), pod_manifests.pod_status(address))
    api.create(pod_manifests.deployment(revision))


def _create(api: KubeApi, manifest: Manifest, status: dict[str, object]) -> Manifest:
    made = api.create(manifest)
    path = api.kind(manifest["apiVersion"], manifest["kind"]).path(manifests.NAMESPACE, manifest["metadata"]["name"])
    api.request("PUT", f"{path}/status", {**made, "apiVersion": manifest["apiVersion"], "status": status})
    return made


def _reset(api: KubeApi, revision: Revision) -> None:
    namespace = manifests.NAMESPACE
    api.patch(*manifests.DEPLOYMENTS, revision.deployment, namespace, {"spec": {"replicas": 0}})
    # What an autoscaler has added to the status is to go, so the whole of it is replaced.
    status = manifests.pod_autoscaler_status(revision)
    current = api.get(*manifests.POD_AUTOSCALERS, revision.name, namespace)
    path = api.kind(*manifests.POD_AUTOSCALERS).path(namespace, revision.name)
    api.request("PUT", f"{path}/status", {**current, "status": status})
    service = manifests.serverless_service(revision, current["metadata"]["uid"])
    api.patch(*manifests.SERVERLESS_SERVICES, revision.name, namespace, {"spec": service["spec"]})
    status = manifests.serverless_service_status(revision)
    generation = api.get(*manifests.SERVERLESS_SERVICES, revision.name, namespace)["metadata"]["generation"]
    change = {"status": {**status, "observedGeneration": generation}}
    api.patch(*manifests.SERVERLESS_SERVICES, revision.name, namespace, change, part="status")
