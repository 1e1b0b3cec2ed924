"""A revision's Deployment and its pods, as Knative and a kubelet would leave them.

They have what real ones have, for an autoscaler that keeps whole objects has to hold it.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from typing import Any, Final

from autoscaler_comparison.manifests import (
    DEPLOYMENTS,
    PODS,
    SERVING_DOMAIN,
    Manifest,
    Revision,
    condition,
    head_of,
    labels,
    long_ago,
    owned_by,
    uid_of,
)

_QUEUE_PROXY_VARIABLES: Final = (
    "SERVING_NAMESPACE", "SERVING_SERVICE", "SERVING_CONFIGURATION", "SERVING_REVISION", "QUEUE_SERVING_PORT",
    "QUEUE_SERVING_TLS_PORT", "CONTAINER_CONCURRENCY", "REVISION_TIMEOUT_SECONDS",
    "REVISION_RESPONSE_START_TIMEOUT_SECONDS", "REVISION_IDLE_TIMEOUT_SECONDS", "SERVING_POD", "SERVING_POD_IP",
    "SERVING_LOGGING_CONFIG", "SERVING_LOGGING_LEVEL", "SERVING_REQUEST_LOG_TEMPLATE", "SERVING_ENABLE_REQUEST_LOG",
    "SERVING_ENABLE_PROBE_REQUEST_LOG", "OBSERVABILITY_CONFIG", "USER_PORT", "SYSTEM_NAMESPACE", "METRICS_DOMAIN",
    "SERVING_READINESS_PROBE", "ENABLE_PROFILING", "HOST_IP", "ENABLE_HTTP2_AUTO_DETECTION",
    "ENABLE_HTTP_FULL_DUPLEX", "ROOT_CA", "ENABLE_MULTI_CONTAINER_PROBES",
)  # fmt: skip


def deployment(revision: Revision) -> Manifest:
    """Return the Deployment as the Revision controller makes it."""
    owner = owned_by(f"{SERVING_DOMAIN}/v1", "Revision", revision.name, uid_of(revision, "revision"))
    head = head_of(DEPLOYMENTS, revision, {"name": revision.deployment, "ownerReferences": owner})
    spec = {
        "replicas": len(revision.pods),
        "selector": {"matchLabels": {f"{SERVING_DOMAIN}/revisionUID": uid_of(revision, "revision")}},
        "revisionHistoryLimit": 0,
        "progressDeadlineSeconds": 600,
        "template": {"metadata": {"labels": labels(revision)}, "spec": _pod_spec(revision)},
    }
    return {**head, "spec": spec}


def pod(revision: Revision, number: int) -> Manifest:
    """Return one pod as a ReplicaSet makes it and a scheduler places it."""
    template = f"{revision.deployment}-5d8c6b7f9d"
    owner = owned_by("apps/v1", "ReplicaSet", template, uid_of(revision, "replicaset"))
    metadata = {
        "name": f"{template}-{number:05}",
        "labels": {**labels(revision), "pod-template-hash": "5d8c6b7f9d"},
        "annotations": {f"{SERVING_DOMAIN}/creator": "bench"},
        "ownerReferences": owner,
    }
    return {**head_of(PODS, revision, metadata), "spec": {**_pod_spec(revision), "nodeName": "node"}}


def pod_status(address: str) -> dict[str, object]:
    """Return the status of a ready pod as a kubelet writes it."""
    began = long_ago()
    ready = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    containers = [
        {
            "name": name,
            "containerID": f"containerd://{uuid.uuid5(uuid.NAMESPACE_DNS, address + name).hex * 2}",
            "image": f"dev.local/{name}:v1",
            "imageID": f"sha256:{uuid.uuid5(uuid.NAMESPACE_DNS, name).hex * 2}",
            "ready": True,
            "restartCount": 0,
            "started": True,
            "state": {"running": {"startedAt": began}},
        }
        for name in ("queue-proxy", "user-container")
    ]
    return {
        "phase": "Running",
        "conditions": [condition(kind, "True") for kind in ready],
        "hostIP": "10.77.0.1",
        "hostIPs": [{"ip": "10.77.0.1"}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": began,
        "containerStatuses": containers,
        "qosClass": "Burstable",
    }


def _pod_spec(revision: Revision) -> dict[str, Any]:
    spec = copy.deepcopy(_POD_SPEC)
    for container in spec["containers"]:
        for variable in container["env"]:
            if variable["name"] in ("SERVING_REVISION", "K_REVISION"):
                variable["value"] = revision.name
    return spec


def _container(name: str, ports: Mapping[str, int], variables: tuple[str, ...]) -> dict[str, Any]:
    probe = {"httpGet": {"path": "/", "port": next(iter(ports.values())), "httpHeaders": _PROBE_HEADERS}}
    return {
        "name": name,
        "image": f"dev.local/{name}:v1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"name": port, "containerPort": number, "protocol": "TCP"} for port, number in ports.items()],
        "env": [{"name": variable, "value": f"value of {variable.lower()}"} for variable in variables],
        "readinessProbe": {**probe, "successThreshold": 1, "periodSeconds": 10, "timeoutSeconds": 1},
        "resources": {"requests": {"cpu": "25m", "memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


_PROBE_HEADERS: Final = [{"name": "K-Network-Probe", "value": "queue"}]
_USER_VARIABLES: Final = ("PORT", "K_REVISION", "K_CONFIGURATION", "K_SERVICE")
_QUEUE_PORTS: Final = {
    "http-queueadm": 8022,
    "http-autometric": 9090,
    "http-usermetric": 9091,
    "queue-port": 8012,
    "https-port": 8112,
}
_POD_SPEC: Final[dict[str, Any]] = {
    "containers": [
        _container("user-container", {"user-port": 8080}, _USER_VARIABLES),
        _container("queue-proxy", _QUEUE_PORTS, _QUEUE_PROXY_VARIABLES),
    ],
    "automountServiceAccountToken": False,
    "enableServiceLinks": False,
    "terminationGracePeriodSeconds": 300,
    "tolerations": [],
}
