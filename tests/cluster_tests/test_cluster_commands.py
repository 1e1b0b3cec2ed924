"""The command line against the session's cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from testcluster.cluster import Cluster
from testcluster.images import Image, write_image
from testcluster.places import ROOT

COMPONENTS = (
    "containerd",
    "coredns",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubelet",
)


def tool(cluster: Cluster, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.testcluster", "--name", cluster.name, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_status_names_each_component_and_counts_the_pods(cluster: Cluster) -> None:
    done = tool(cluster, "status", "--json")
    states = json.loads(done.stdout)
    assert [name for name in (*COMPONENTS, "cluster") if states[name] != "running"] == []
    assert "6 Running" in states["pods"]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        (("kubectl", "get", "nodes", "--output=name"), "node/"),
        (("kn", "service", "list"), "No services found"),
        (("helm", "list", "--all-namespaces"), "NAMESPACE"),
        (("run", "ip", "route"), "default dev node0"),
        (("env",), "export KUBECONFIG="),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_program_runs_against_the_cluster(cluster: Cluster, arguments: tuple[str, ...], want: str) -> None:
    done = tool(cluster, *arguments)
    assert want in done.stdout, done.stderr
    assert done.returncode == 0


def test_the_exit_code_of_kubectl_is_passed_on(cluster: Cluster) -> None:
    done = tool(cluster, "kubectl", "get", "pod", "missing")
    assert done.returncode == 1
    assert '"missing" not found' in done.stderr


def test_logs_of_a_component_are_printed_and_an_unknown_one_is_named(cluster: Cluster) -> None:
    assert "kubelet" in tool(cluster, "logs", "kubelet").stdout
    done = tool(cluster, "logs", "kubelett")
    assert done.returncode == 1
    assert "no log of 'kubelett'" in done.stderr
    assert "kube-scheduler, kubelet" in done.stderr


def test_a_second_up_is_refused(cluster: Cluster) -> None:
    done = tool(cluster, "up")
    assert done.returncode == 1
    assert "runs already" in done.stderr


def test_an_image_that_is_loaded_runs_in_a_pod(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    pause = tmp_path / "pause.tar"
    program = cluster.sandbox.root / "usr/bin/true"
    libraries = ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6")
    files = {"/bin/true": program, **{path: Path(path).resolve() for path in libraries}}
    write_image(Image(reference="dev.local/true:v1", entrypoint=("/bin/true",), files=files), pause)
    assert tool(cluster, "load-image", str(pause)).returncode == 0
    spec = {"restartPolicy": "Never", "containers": [{"name": "one", "image": "dev.local/true:v1"}]}
    metadata = {"name": "once", "namespace": namespace}
    cluster.api.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    cluster.api.wait_for(
        "v1", "Pod", "once", namespace, lambda pod: pod["status"]["phase"] == "Succeeded", timeout_s=30
    )


def test_an_archive_that_is_not_there_is_named(cluster: Cluster) -> None:
    done = tool(cluster, "load-image", "/nowhere.tar")
    assert done.returncode == 1
    assert "/nowhere.tar: No such file or directory" in done.stderr
