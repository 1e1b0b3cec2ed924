"""Whether Dilu can be installed into a cluster: a Knative that it knows, no other Dilu, nobody who undoes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.knative.buckets.holder_identity import OUR_DEPLOYMENT, STOCK_DEPLOYMENT
from dilu_autoscaler.knative.installing.workloads import ServingNamespace, TakeoverError, Workload
from dilu_autoscaler.knative.objects import METRICS, POD_AUTOSCALERS, SERVERLESS_SERVICES, Metric, PodAutoscaler
from dilu_kube.client import NotFound
from dilu_kube.resources import Resource

OLDEST: Final = (1, 21)
NEWEST: Final = (1, 23)
_VERSION_LABEL: Final = "app.kubernetes.io/version"
_OLD_VERSION_KEY: Final = "serving.knative.dev/release"
_RELEASE_LABEL: Final = "app.kubernetes.io/instance"
_VERSION: Final = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What is about to be installed."""

    release: str
    scales_stock: bool = False
    checks_version: bool = True


async def require_installable(serving: ServingNamespace, installation: Installation) -> str:
    """A line on what was found; raises `TakeoverError` with the way out where Dilu cannot be installed."""
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
    """What to do where Knative Operator writes the replicas."""
    return (
        f"Knative Operator manages Deployment {STOCK_DEPLOYMENT} (KnativeServing {operator}) and would undo a change "
        "of its replicas. Install with takeover.scaleStock=false, and set in the KnativeServing: "
        f"spec.workloads: [{{name: {STOCK_DEPLOYMENT}, replicas: 0}}]"
    )


def known_version(stock: Workload) -> str | None:
    """The release of Knative by what its Deployment says; None where it does not: a build from source says `devel`."""
    labels, annotations = stock.metadata.labels, stock.metadata.annotations
    said = (labels.get(_VERSION_LABEL), annotations.get(_OLD_VERSION_KEY), labels.get(_OLD_VERSION_KEY))
    return next((one for one in said if one and _VERSION.match(one)), None)


def _require_version(stock: Workload) -> None:
    version = known_version(stock)
    match = _VERSION.match(version) if version else None
    if match is None or OLDEST <= (int(match[1]), int(match[2])) <= NEWEST:
        return
    oldest, newest = (".".join(map(str, one)) for one in (OLDEST, NEWEST))
    raise TakeoverError(
        f"Knative Serving {version}: Dilu was tried with {oldest} to {newest}. "
        "Use one of these, or install at your own risk with knative.checkVersion=false"
    )


async def _require_kind(serving: ServingNamespace, resource: Resource) -> None:
    """Raises where the server does not know the kind; a list of one namespace needs no more rights than we have."""
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
            f"Dilu is installed already, as release {other}, and one cluster has one: upgrade that one instead"
        )
