"""Checks before an installation: a supported Knative, no other Dilu, no operator that would undo the take-over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.knative.buckets.holder_identity import OUR_DEPLOYMENT, STOCK_DEPLOYMENT
from dilu_autoscaler.knative.installing.workloads import ServingNamespace, TakeoverError, Workload
from dilu_autoscaler.knative.objects import METRICS, POD_AUTOSCALERS, SERVERLESS_SERVICES, Metric, PodAutoscaler
from dilu_kube.client import NotFound
from dilu_kube.resources import Resource

MIN_VERSION: Final = (1, 21)
MAX_VERSION: Final = (1, 23)
_VERSION_LABEL: Final = "app.kubernetes.io/version"
_OLD_VERSION_KEY: Final = "serving.knative.dev/release"
_RELEASE_LABEL: Final = "app.kubernetes.io/instance"
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The options of an installation that is about to start."""

    release: str
    scales_stock: bool = False
    checks_version: bool = True


async def require_installable(serving: ServingNamespace, installation: Installation) -> str:
    """Return a line about the Knative found. Raises `TakeoverError` with the remedy if Dilu cannot be installed."""
    stock = await serving.deployment(STOCK_DEPLOYMENT)
    if stock is None:
        raise TakeoverError(
            f"Knative Serving is not in namespace {serving.name}: it has no Deployment {STOCK_DEPLOYMENT}. "
            "Install Knative Serving first, or set servingNamespace to where it is"
        )
    for resource in (POD_AUTOSCALERS, METRICS, SERVERLESS_SERVICES):
        await _require_kind(serving, resource)
    if installation.checks_version:
        _require_version(stock)
    await _require_only_one(serving, installation.release)
    if installation.scales_stock and stock.operator is not None:
        raise TakeoverError(operator_rule(stock.operator))
    return f"Knative Serving {known_version(stock) or 'of an unknown version'} in namespace {serving.name}"


def operator_rule(operator: str) -> str:
    """Return what to do if Knative Operator manages the replicas."""
    return (
        f"Knative Operator manages Deployment {STOCK_DEPLOYMENT} (KnativeServing {operator}) and would undo a change "
        "of its replicas. Install with takeover.scaleStock=false, and set in the KnativeServing: "
        f"spec.workloads: [{{name: {STOCK_DEPLOYMENT}, replicas: 0}}]"
    )


def known_version(stock: Workload) -> str | None:
    """Return Knative's version by its Deployment's labels; None if it has none: a build from source has `devel`."""
    labels, annotations = stock.metadata.labels, stock.metadata.annotations
    found = (labels.get(_VERSION_LABEL), annotations.get(_OLD_VERSION_KEY), labels.get(_OLD_VERSION_KEY))
    return next((one for one in found if one and _VERSION.match(one)), None)


def _require_version(stock: Workload) -> None:
    version = known_version(stock)
    match = _VERSION.match(version) if version else None
    if match is None or MIN_VERSION <= (int(match[1]), int(match[2])) <= MAX_VERSION:
        return
    min_version, max_version = (".".join(map(str, one)) for one in (MIN_VERSION, MAX_VERSION))
    raise TakeoverError(
        f"Knative Serving {version}: Dilu was tried with {min_version} to {max_version}. "
        "Use one of these, or install at your own risk with knative.checkVersion=false"
    )


async def _require_kind(serving: ServingNamespace, resource: Resource) -> None:
    """Raise if the server does not have the kind. A list of one namespace needs no further rights."""
    try:
        await serving.client.list(resource, serving.name, type=PodAutoscaler if resource is POD_AUTOSCALERS else Metric)
    except NotFound as error:
        raise TakeoverError(
            f"the cluster has no {resource.kind} ({resource.api_version}): install Knative Serving first"
        ) from error


async def _require_only_one(serving: ServingNamespace, release: str) -> None:
    ours = await serving.deployment(OUR_DEPLOYMENT)
    other = None if ours is None else ours.metadata.labels.get(_RELEASE_LABEL)
    if other is not None and other != release:
        raise TakeoverError(
            f"Dilu is installed already, as release {other}, and a cluster can have only one: upgrade that release"
        )
