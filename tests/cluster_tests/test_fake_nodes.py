"""Nodes that are only objects: the real scheduler places pods on them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from testcluster.api import condition_of, is_ready
from testcluster.cluster import Cluster
from testcluster.fakenodes import LABEL, NodeShape, add_nodes, remove_nodes, run_pods


@pytest.fixture
def two_nodes(cluster: Cluster) -> Iterator[list[str]]:
    yield add_nodes(cluster, count=2, shape=NodeShape(gpus=1))
    remove_nodes(cluster)


def gpu_pod(name: str, namespace: str, milli: int) -> dict[str, object]:
    limits = {"dilu.dev/gpu-milli": str(milli)}
    container = {"name": "one", "image": "dev.local/helloworld:v1", "resources": {"limits": limits}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"containers": [container], "tolerations": [{"key": LABEL, "operator": "Exists"}]},
    }


def test_pods_are_placed_by_the_nodes_gpus_and_run_on_demand(
    cluster: Cluster, namespace: str, two_nodes: list[str]
) -> None:
    for name in ("first", "second", "third"):
        cluster.api.create(gpu_pod(name, namespace, 700))
    pods = cluster.api.wait_for_list(
        "v1",
        "Pod",
        namespace,
        lambda pods: all(condition_of(pod, "PodScheduled") is not None for pod in pods) and len(pods) == 3,
        timeout_s=20,
        what="a verdict on all three pods",
    )
    placed = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}
    assert sorted(placed.values()) == sorted(two_nodes)
    assert run_pods(cluster) == 2
    ready = [pod["metadata"]["name"] for pod in cluster.api.items("v1", "Pod", namespace) if is_ready(pod)]
    assert sorted(ready) == sorted(placed)


def test_nodes_are_ready_and_give_signs_of_life(cluster: Cluster, two_nodes: list[str]) -> None:
    first = cluster.api.get("coordination.k8s.io/v1", "Lease", two_nodes[0], "kube-node-lease")
    cluster.api.wait_for(
        "coordination.k8s.io/v1",
        "Lease",
        two_nodes[0],
        "kube-node-lease",
        lambda lease: lease["spec"]["renewTime"] != first["spec"]["renewTime"],
        timeout_s=30,
    )
    assert is_ready(cluster.api.get("v1", "Node", two_nodes[0]))
