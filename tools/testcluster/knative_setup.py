"""Knative and Kourier on a new cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .api import KubeApi, condition_of

_CRD: Final = "CustomResourceDefinition"
_CRD_VERSION: Final = "apiextensions.k8s.io/v1"
_ESTABLISHED_S: Final = 30.0
_AVAILABLE_S: Final = 180.0
_WEBHOOK_KINDS: Final = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")


def apply_manifests(api: KubeApi, manifests: Sequence[dict[str, Any]]) -> None:
    """Apply the objects in the order given; those of a custom kind wait until the server knows it."""
    with contextlib.closing(api):  # a thread has a connection of its own, and this is run in one
        _apply_in_order(api, manifests)


def _apply_in_order(api: KubeApi, manifests: Sequence[dict[str, Any]]) -> None:
    definitions = [one["metadata"]["name"] for one in manifests if one["kind"] == _CRD]
    established = False
    for manifest in manifests:
        if not established and manifest["kind"] != _CRD and manifest["kind"] != "Namespace":
            for name in definitions:
                api.wait_for(_CRD_VERSION, _CRD, name, None, _is_established, timeout_s=_ESTABLISHED_S)
            established = True
        api.apply(manifest)


def wait_until_ready(api: KubeApi, manifests: Sequence[Mapping[str, Any]]) -> None:
    """Return when all pods are ready and the webhooks have given the server their certificate."""
    for manifest in manifests:
        metadata = manifest["metadata"]
        if manifest["kind"] == "Deployment":
            api.wait_for(
                "apps/v1", "Deployment", metadata["name"], metadata["namespace"], _is_available, timeout_s=_AVAILABLE_S
            )
    for manifest in manifests:
        if manifest["kind"] in _WEBHOOK_KINDS:
            api.wait_for(
                manifest["apiVersion"], manifest["kind"], manifest["metadata"]["name"], None, _has_certificate,
                timeout_s=_AVAILABLE_S,
            )  # fmt: skip


def _is_established(definition: Mapping[str, Any]) -> bool:
    return condition_of(definition, "Established") == "True"


def _is_available(deployment: Mapping[str, Any]) -> bool:
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("readyReplicas", 0) >= wanted
        and condition_of(deployment, "Available") == "True"
    )


def _has_certificate(configuration: Mapping[str, Any]) -> bool:
    return all(one["clientConfig"].get("caBundle") for one in configuration["webhooks"])
