from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from testcluster.errors import ClusterError
from testcluster.knative_manifests import Manifest, knative_manifests


def write(path: Path, *objects: Manifest) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump_all(objects))


def one(kind: str, name: str, **more: object) -> Manifest:
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


def gateway() -> Manifest:
    container = {
        "image": "docker.io/envoy",
        "lifecycle": {"preStop": {}},
        "readinessProbe": {"initialDelaySeconds": 10},
    }
    return one("Deployment", "3scale-kourier-gateway", spec={"template": {"spec": {"containers": [container]}}})


@pytest.fixture
def modules(tmp_path: Path) -> dict[str, Path]:
    core = tmp_path / "serving/config/core"
    write(core / "100-namespace.yaml", one("Namespace", "knative-serving"))
    write(core / "200-roles/a.yaml", one("ClusterRole", "a"))
    write(core / "300-resources/a.yaml", one("CustomResourceDefinition", "a"))
    write(core / "configmaps/a.yaml", one("ConfigMap", "config-domain", data={"_example": "x"}))
    pod = {"containers": [{"image": "ko://knative.dev/serving/cmd/activator"}]}
    write(core / "deployments/a.yaml", one("Deployment", "a", spec=pod), one("HorizontalPodAutoscaler", "a"))
    write(core / "webhooks/a.yaml", one("ValidatingWebhookConfiguration", "a"))
    write(tmp_path / "networking/config/network.yaml", one("ConfigMap", "config-network"))
    write(tmp_path / "caching/config/image.yaml", one("Image", "queue-proxy", spec={"image": "ko://x/queue"}))
    service = one("Service", "kourier", spec={"ports": [{"port": 80}, {"port": 443}]})
    write(tmp_path / "kourier/config/a.yaml", gateway(), service)
    return {name: tmp_path / name for name in ("serving", "networking", "caching", "kourier")}


def render(modules: dict[str, Path]) -> dict[str, Manifest]:
    found = knative_manifests(**modules, image_of=lambda package: f"local/{package}", node_ip="10.0.0.1")
    return {f"{manifest['kind']} {manifest['metadata']['name']}": manifest for manifest in found}


def test_the_order_is_one_that_a_new_cluster_takes(modules: dict[str, Path]) -> None:
    kinds = list(dict.fromkeys(name.split()[0] for name in render(modules)))
    assert kinds == [
        "Namespace",
        "CustomResourceDefinition",
        "ClusterRole",
        "ConfigMap",
        "Service",
        "Deployment",
        "Image",
        "ValidatingWebhookConfiguration",
    ]


def test_images_are_ours(modules: dict[str, Path]) -> None:
    found = render(modules)
    assert found["Deployment a"]["spec"]["containers"][0]["image"] == "local/knative.dev/serving/cmd/activator"
    assert found["Image queue-proxy"]["spec"]["image"] == "local/x/queue"
    [container] = found["Deployment 3scale-kourier-gateway"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "local/envoy"
    assert "lifecycle" not in container


def test_knative_is_told_of_kourier_and_of_its_domain(modules: dict[str, Path]) -> None:
    found = render(modules)
    assert found["ConfigMap config-network"]["data"] == {"ingress-class": "kourier.ingress.networking.knative.dev"}
    assert found["ConfigMap config-domain"]["data"] == {"_example": "x", "example.com": ""}
    assert found["Service kourier"]["spec"]["externalIPs"] == ["10.0.0.1"]


def test_a_folder_without_manifests_is_an_error(modules: dict[str, Path]) -> None:
    (modules["caching"] / "config/image.yaml").unlink()
    with pytest.raises(ClusterError, match="no manifest in it"):
        render(modules)
