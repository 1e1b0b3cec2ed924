"""What is kept of a test that failed: objects, events and logs, before they are removed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import yaml

from .cluster import Cluster
from .errors import ClusterError

_KINDS: Final = (
    ("v1", "Pod"),
    ("v1", "Event"),
    ("v1", "Service"),
    ("apps/v1", "Deployment"),
    ("serving.knative.dev/v1", "Service"),
    ("serving.knative.dev/v1", "Revision"),
    ("serving.knative.dev/v1", "Route"),
    ("autoscaling.internal.knative.dev/v1alpha1", "PodAutoscaler"),
    ("networking.internal.knative.dev/v1alpha1", "ServerlessService"),
    ("networking.internal.knative.dev/v1alpha1", "Ingress"),
)
_SYSTEM_NAMESPACES: Final = ("knative-serving", "kourier-system")
_TAIL_LINES: Final = 400


def save_evidence(cluster: Cluster, namespace: str, directory: Path) -> None:
    """Fill the directory; what cannot be read is noted in it and does not hide the test's own failure."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for api_version, kind in _KINDS:
        name = f"{kind}.{api_version.partition('/')[0]}.yaml" if "/" in api_version else f"{kind}.yaml"
        try:
            objects = cluster.api.items(api_version, kind, namespace)
        except ClusterError as error:
            (directory / name).write_text(f"# {error}\n")
            continue
        if objects:
            (directory / name).write_text(yaml.safe_dump_all(objects, sort_keys=False))
    for one in (namespace, *_SYSTEM_NAMESPACES):
        _save_pod_logs(cluster, one, directory / "logs")
    for log in sorted(cluster.places.logs.glob("*.log")):
        tail = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
        (directory / "logs" / log.name).write_text("\n".join(tail) + "\n")


def _save_pod_logs(cluster: Cluster, namespace: str, directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    try:
        pods = cluster.api.items("v1", "Pod", namespace)
    except ClusterError as error:
        (directory / f"{namespace}.log").write_text(f"# {error}\n")
        return
    for pod in pods:
        name = pod["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            query = f"container={container['name']}&tailLines={_TAIL_LINES}"
            try:
                text = cluster.api.text(f"/api/v1/namespaces/{namespace}/pods/{name}/log?{query}")
            except ClusterError as error:
                text = f"# {error}\n"
            (directory / f"{namespace}.{name}.{container['name']}.log").write_text(text)
