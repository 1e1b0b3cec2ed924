"""What is applied to a cluster to make it Knative with Kourier: the projects' own manifests, with our images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from .errors import ClusterError

Manifest = dict[str, Any]

KOURIER_NODE_PORT: Final = 31080
# Without them a revision's image is looked up in its registry, and no registry is there.
_LOCAL_REGISTRIES: Final = "dev.local,ko.local,kind.local"
# Autoscalers of the control plane want a metrics server, and one replica each is what a small machine has room for.
_LEFT_OUT: Final = frozenset({"HorizontalPodAutoscaler", "PodDisruptionBudget"})
_ORDER: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "ConfigMap",
    "Secret",
    "Service",
    "Deployment",
)


def knative_manifests(
    *, serving: Path, networking: Path, caching: Path, kourier: Path, image_of: Callable[[str], str], node_ip: str
) -> list[Manifest]:
    """Every object of Knative Serving and Kourier, in the order in which a new cluster takes them.

    The directories are the module directories of these projects. `image_of` gives the local image of the Go package
    that a manifest names.
    """
    folders = [
        serving / "config/core",
        *(
            serving / f"config/core/{part}"
            for part in ("200-roles", "300-resources", "configmaps", "deployments", "webhooks")
        ),
        networking / "config",  # module archives drop symlinks, so what serving links to is read where it is
        caching / "config",
        kourier / "config",
    ]
    objects = [one for folder in folders for one in _read_folder(folder) if one["kind"] not in _LEFT_OUT]
    unique = {(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]): one for one in objects}
    changed = [_changed(_with_images(one, image_of), image_of, node_ip) for one in unique.values()]
    return sorted(changed, key=_place_in_order)


def _read_folder(folder: Path) -> Iterable[Manifest]:
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ClusterError(f"{folder}: no manifest in it. Is this the version that go.mod names?")
    for file in files:
        yield from (one for one in yaml.safe_load_all(file.read_text()) if one)


def _place_in_order(manifest: Manifest) -> tuple[int, str]:
    kind = manifest["kind"]
    # Webhooks last: the server would ask them before they answer.
    last = len(_ORDER) + 1 if kind.endswith("WebhookConfiguration") else len(_ORDER)
    return _ORDER.index(kind) if kind in _ORDER else last, kind


def _with_images(value: Any, image_of: Callable[[str], str]) -> Any:
    """Return the same value with each `ko://PACKAGE` replaced."""
    if isinstance(value, dict):
        return {key: _with_images(item, image_of) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_images(item, image_of) for item in value]
    if isinstance(value, str) and value.startswith("ko://"):
        return image_of(value.removeprefix("ko://"))
    return value


def _changed(manifest: Manifest, image_of: Callable[[str], str], node_ip: str) -> Manifest:
    """Return the manifest as this cluster needs it; most are unchanged."""
    match manifest["kind"], manifest["metadata"]["name"]:
        case "ConfigMap", "config-deployment":
            _set(
                manifest,
                {
                    "registries-skipping-tag-resolving": _LOCAL_REGISTRIES,
                    "queue-sidecar-image": image_of("knative.dev/serving/cmd/queue"),
                },
            )
        case "ConfigMap", "config-network":
            _set(manifest, {"ingress-class": "kourier.ingress.networking.knative.dev"})
        case "ConfigMap", "config-domain":
            _set(manifest, {"example.com": ""})
        case "Deployment", "3scale-kourier-gateway":
            _change_gateway(manifest, image_of)
        case "Service", "kourier":
            _open_on_the_node(manifest, node_ip)
    return manifest


def _set(config_map: Manifest, values: Mapping[str, str]) -> None:
    config_map["data"] = {**(config_map.get("data") or {}), **values}


def _change_gateway(deployment: Manifest, image_of: Callable[[str], str]) -> None:
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    container["image"] = image_of("envoy")
    del container["lifecycle"]  # it wants a shell and curl, which the image has not
    container["readinessProbe"]["initialDelaySeconds"] = 0
    container["readinessProbe"]["periodSeconds"] = 1


def _open_on_the_node(service: Manifest, node_ip: str) -> None:
    """Ports 80 and 443 of the node lead to Kourier, as a load balancer's would; port 80 is a node port as well."""
    service["spec"]["externalIPs"] = [node_ip]
    for port in service["spec"]["ports"]:
        if port["port"] == 80:
            port["nodePort"] = KOURIER_NODE_PORT
