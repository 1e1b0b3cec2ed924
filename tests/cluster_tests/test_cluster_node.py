"""The node: names, the way between pods and services, and what storage drivers need."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from testcluster.api import Object
from testcluster.cluster import Cluster
from testcluster.images import Image, shared_libraries, write_image

PLUGIN = "/var/lib/kubelet/plugins/test.dilu.dev"


def load_program(cluster: Cluster, tmp_path: Path, path: str, reference: str) -> None:
    """Loads an image of one of this machine's programs, with its libraries."""
    listing = subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout
    files = {path: Path(path).resolve(), **shared_libraries(Path(path), listing)}
    write_image(Image(reference=reference, entrypoint=(path,), files=files), tmp_path / "image.tar")
    cluster.load_image(tmp_path / "image.tar")


def run_once(cluster: Cluster, namespace: str, container: dict[str, Any], **spec: object) -> str:
    """The output of a pod that runs to its end."""
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "once", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "once", **container}], **spec},
    }
    cluster.api.create(pod)
    ended = cluster.api.wait_for(
        "v1", "Pod", "once", namespace, lambda one: one["status"]["phase"] in ("Succeeded", "Failed"), timeout_s=60
    )
    output = cluster.api.text(f"/api/v1/namespaces/{namespace}/pods/once/log")
    assert ended["status"]["phase"] == "Succeeded", output
    return output


def node_mounts(cluster: Cluster) -> list[str]:
    assert cluster.record.init is not None
    lines = Path(f"/proc/{cluster.record.init.pid}/mountinfo").read_text().splitlines()
    return [line.split()[4] for line in lines]


def test_a_pod_finds_services_by_their_names(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    load_program(cluster, tmp_path, "/usr/bin/getent", "dev.local/getent:v1")
    host = "activator-service.knative-serving"
    service = cluster.api.get("v1", "Service", "activator-service", "knative-serving")
    # getent resolves through libnss_dns, which the C library brings.
    output = run_once(cluster, namespace, {"image": "dev.local/getent:v1", "args": ["ahostsv4", host]})
    assert output.split()[0] == service["spec"]["clusterIP"]


def test_what_a_pod_mounts_for_the_kubelet_the_kubelet_sees(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    load_program(cluster, tmp_path, "/usr/bin/mount", "dev.local/mount:v1")
    volume = {"name": "plugin", "hostPath": {"path": PLUGIN, "type": "DirectoryOrCreate"}}
    container = {
        "image": "dev.local/mount:v1",
        "args": ["-n", "-t", "tmpfs", "secrets", "/plugin"],
        "securityContext": {"privileged": True, "runAsUser": 0},
        "volumeMounts": [{"name": "plugin", "mountPath": "/plugin", "mountPropagation": "Bidirectional"}],
    }
    run_once(cluster, namespace, container, volumes=[volume])
    assert PLUGIN in node_mounts(cluster)
    subprocess.run(cluster.sandbox.inside(["umount", PLUGIN]), check=True)
    assert PLUGIN not in Path("/proc/self/mountinfo").read_text()
