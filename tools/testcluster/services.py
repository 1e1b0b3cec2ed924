"""Knative services in tests and benchmarks: make them, wait for their pods, ask them."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from .api import Object, is_ready
from .cluster import Cluster, Response

SERVING: Final = "serving.knative.dev/v1"
WINDOW: Final = "autoscaling.knative.dev/window"
TARGET: Final = "autoscaling.knative.dev/target"
HELLO: Final = "dev.local/helloworld:v1"
AUTOSCALE: Final = "dev.local/autoscale:v1"
READY_S: Final = 60.0
_PODS_GONE_S: Final = 60.0


def create_service(
    cluster: Cluster,
    namespace: str,
    name: str,
    *,
    image: str = HELLO,
    annotations: Mapping[str, str] | None = None,
    ready_s: float = READY_S,
) -> Object:
    """Return the service once it is Ready."""
    template = {
        "metadata": {"annotations": {WINDOW: "6s", **(annotations or {})}},
        "spec": {"containers": [{"image": image}]},
    }
    metadata = {"name": name, "namespace": namespace}
    cluster.api.create({"apiVersion": SERVING, "kind": "Service", "metadata": metadata, "spec": {"template": template}})
    return cluster.api.wait_for(SERVING, "Service", name, namespace, is_ready, timeout_s=ready_s)


def pods_of(cluster: Cluster, namespace: str, name: str) -> list[Object]:
    """Return the service's pods that are not being deleted."""
    pods = cluster.api.items("v1", "Pod", namespace, labels=f"serving.knative.dev/service={name}")
    return [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]


def wait_for_pods(cluster: Cluster, namespace: str, name: str, *, at_least: int, timeout_s: float = 60.0) -> None:
    """Return when `at_least` pods are ready."""
    cluster.api.wait_for_list(
        "v1",
        "Pod",
        namespace,
        lambda pods: sum(is_ready(pod) and not pod["metadata"].get("deletionTimestamp") for pod in pods) >= at_least,
        timeout_s=timeout_s,
        what=f"{at_least} ready pods of {name}",
        labels=f"serving.knative.dev/service={name}",
    )


def wait_for_zero(cluster: Cluster, namespace: str, name: str, *, timeout_s: float = 120.0) -> None:
    """Return when no pod is left: pods that are being deleted, which still answer, get no time to drain."""
    cluster.api.wait_for_list(
        "v1",
        "Pod",
        namespace,
        lambda pods: all(pod["metadata"].get("deletionTimestamp") for pod in pods),
        timeout_s=timeout_s,
        what=f"{name} at zero",
        labels=f"serving.knative.dev/service={name}",
    )
    end_pods(cluster, namespace, labels=f"serving.knative.dev/service={name}")


def ask_many(cluster: Cluster, url: str, *, count: int, timeout_s: float = 60.0) -> list[Response]:
    """Return the answers to `count` concurrent requests."""
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda _: cluster.http(url, timeout_s=timeout_s), range(count)))


def new_namespace(cluster: Cluster, name: str) -> None:
    """Create a namespace in which pods can start."""
    cluster.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    cluster.api.wait_for("v1", "ServiceAccount", "default", name, lambda one: True, timeout_s=20)


def remove_namespace(cluster: Cluster, name: str) -> None:
    """Delete a namespace and return when its pods are deleted; they get no time to drain."""
    cluster.api.delete("v1", "Namespace", name)
    for kind in ("Service", "Configuration", "Revision"):
        for one in cluster.api.items("serving.knative.dev/v1", kind, name):
            cluster.api.delete("serving.knative.dev/v1", kind, one["metadata"]["name"], name)
    for one in cluster.api.items("apps/v1", "Deployment", name):
        cluster.api.delete("apps/v1", "Deployment", one["metadata"]["name"], name)
    end_pods(cluster, name)  # the rest of the namespace ends in its own time: nothing of it takes part in other tests


def end_pods(cluster: Cluster, namespace: str, **selectors: str) -> None:
    """Kill the selected pods and return when they are deleted."""
    for pod in cluster.api.items("v1", "Pod", namespace, **selectors):
        cluster.api.delete("v1", "Pod", pod["metadata"]["name"], namespace, grace_s=0)
    cluster.api.wait_for_list(
        "v1",
        "Pod",
        namespace,
        lambda pods: not pods,
        timeout_s=_PODS_GONE_S,
        what=f"the end of the pods of {namespace}",
        **selectors,
    )
