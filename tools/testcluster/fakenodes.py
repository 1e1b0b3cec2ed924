"""Nodes that are only objects: thousands for the scheduler, none for the machine."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from .api import KubeApi, Object
from .cluster import Cluster
from .components import fake_node_heartbeats
from .errors import ClusterError
from .places import ROOT

LABEL: Final = "dilu.dev/fake-node"
LEASES: Final = "kube-node-lease"
_HEARTBEATS: Final = "fake-nodes"
_TAKES_PODS_S: Final = 60.0
_EACH_S: Final = 0.2
_CONDITIONS: Final = {"Ready": "True", "MemoryPressure": "False", "DiskPressure": "False", "PIDPressure": "False"}


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShape:
    """What each node says it has."""

    gpus: int = 0
    gpu_memory_mib: int = 40960
    cpus: int = 64
    memory_gib: int = 512
    pods: int = 250

    def resources(self) -> dict[str, str]:
        """Return the node's capacity, all of it allocatable; one GPU is 1000 of `dilu.dev/gpu-milli`."""
        found = {"cpu": str(self.cpus), "memory": f"{self.memory_gib}Gi", "pods": str(self.pods)}
        if self.gpus:
            found["dilu.dev/gpu-milli"] = str(self.gpus * 1000)
            found["dilu.dev/gpu-mem-mib"] = str(self.gpus * self.gpu_memory_mib)
        return found


def add_nodes(cluster: Cluster, *, count: int, shape: NodeShape, prefix: str = "fake") -> list[str]:
    """Create nodes that are Ready and stay so until they are removed; return their names."""
    api = cluster.api
    taken = {node["metadata"]["name"] for node in api.items("v1", "Node")}
    names: list[str] = []
    number = 0
    while len(names) < count:
        name = f"{prefix}-{number}"
        number += 1
        if name not in taken:
            names.append(name)
    _start_heartbeats(cluster)  # before the first node: one without a sign of life soon counts as lost
    for name in names:
        _add_node(api, name, shape)
    api.wait_for_list(
        "v1",
        "Node",
        None,
        lambda nodes: {node["metadata"]["name"] for node in nodes if _takes_pods(node)} >= set(names),
        timeout_s=_TAKES_PODS_S + count * _EACH_S,
        what=f"{count} fake nodes that take pods",
        labels=f"{LABEL}=true",
    )
    return names


def _start_heartbeats(cluster: Cluster) -> None:
    if cluster.sandbox.states().get(_HEARTBEATS, 0) is not None:
        component = fake_node_heartbeats(cluster.places, sys.executable, ROOT)
        cluster.sandbox.start(component.name, component.argv, component.environment)


def _takes_pods(node: Object) -> bool:
    """Whether the node's controller has taken the taint off that a new node has."""
    return [taint["key"] for taint in node["spec"].get("taints", ())] == [LABEL]


def _add_node(api: KubeApi, name: str, shape: NodeShape) -> None:
    labels = {LABEL: "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    metadata = {"name": name, "labels": labels}
    # Only pods that tolerate it are placed here: a function of another test would wait forever on such a node.
    spec = {"taints": [{"key": LABEL, "value": "true", "effect": "NoSchedule"}]}
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": kind, "status": status, "reason": "Fake", "lastHeartbeatTime": now, "lastTransitionTime": now}
        for kind, status in _CONDITIONS.items()
    ]
    resources = shape.resources()
    status = {"capacity": resources, "allocatable": resources, "conditions": conditions}
    api.create(lease_of(name))
    api.create({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status})


def lease_of(node: str) -> Object:
    """Return the heartbeat of a node, as of now."""
    spec = {"holderIdentity": node, "leaseDurationSeconds": 40, "renewTime": now_micro()}
    metadata = {"name": node, "namespace": LEASES}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}


def now_micro() -> str:
    """Return the time as leases write it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fake_nodes(api: KubeApi) -> list[str]:
    """Return the names of all fake nodes."""
    return [node["metadata"]["name"] for node in api.items("v1", "Node", labels=f"{LABEL}=true")]


def remove_nodes(cluster: Cluster) -> int:
    """How many nodes were removed, with the pods on them."""
    names = fake_nodes(cluster.api)
    for name in names:
        for pod in cluster.api.items("v1", "Pod", fields=f"spec.nodeName={name}"):
            cluster.api.delete("v1", "Pod", pod["metadata"]["name"], pod["metadata"]["namespace"], grace_s=0)
        cluster.api.delete("v1", "Node", name)
        cluster.api.delete("coordination.k8s.io/v1", "Lease", name, LEASES)
    if cluster.sandbox.states().get(_HEARTBEATS, 0) is None:
        cluster.sandbox.stop(_HEARTBEATS)
    return len(names)


def run_pods(cluster: Cluster) -> int:
    """Make new pods on fake nodes run and be ready, remove deleted ones, and return how many changed."""
    names = set(fake_nodes(cluster.api))
    changed = 0
    for pod in cluster.api.items("v1", "Pod"):
        if pod["spec"].get("nodeName") not in names:
            continue
        metadata = pod["metadata"]
        if metadata.get("deletionTimestamp"):
            cluster.api.delete("v1", "Pod", metadata["name"], metadata["namespace"], grace_s=0)
            changed += 1
        elif pod["status"].get("phase") == "Pending":
            mark_running(cluster.api, pod)
            changed += 1
    return changed


def mark_running(api: KubeApi, pod: Object) -> None:
    """Give a pod the status that a kubelet would give it when all its containers are ready."""
    if not pod["spec"].get("nodeName"):
        raise ClusterError(f"pod {pod['metadata']['name']} is on no node yet: it cannot run")
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    containers = [
        {
            "name": container["name"],
            "image": container["image"],
            "imageID": "fake",
            "ready": True,
            "started": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": now}},
        }
        for container in pod["spec"]["containers"]
    ]
    kinds = ("Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in kinds]
    status = {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": containers}
    metadata = pod["metadata"]
    api.patch("v1", "Pod", metadata["name"], metadata["namespace"], {"status": status}, part="status")
