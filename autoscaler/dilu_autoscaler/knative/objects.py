"""Knative's internal kinds, with only the fields that the autoscaler reads, and their API paths."""

from __future__ import annotations

from typing import Final

import msgspec

from dilu_kube.objects import ApiStruct, ConditionObject, Meta, TargetReference
from dilu_kube.resources import Resource

POD_AUTOSCALERS: Final = Resource(
    group="autoscaling.internal.knative.dev", version="v1alpha1", kind="PodAutoscaler", plural="podautoscalers"
)
METRICS: Final = Resource(group="autoscaling.internal.knative.dev", version="v1alpha1", kind="Metric", plural="metrics")
SERVERLESS_SERVICES: Final = Resource(
    group="networking.internal.knative.dev", version="v1alpha1", kind="ServerlessService", plural="serverlessservices"
)
UNKNOWN_SCALE: Final = -1
"""A PodAutoscaler's desiredScale and actualScale while they are not known."""


class PodAutoscalerSpec(ApiStruct, frozen=True):
    """A PodAutoscaler's spec, written only by Knative's Revision controller."""

    container_concurrency: int = 0
    scale_target_ref: TargetReference = TargetReference()
    reachability: str = ""
    protocol_type: str = ""


class PodAutoscalerStatus(ApiStruct, frozen=True, omit_defaults=False):
    """A PodAutoscaler's status, written by us. The two names must be present even if empty."""

    observed_generation: int = 0
    conditions: tuple[ConditionObject, ...] = ()
    annotations: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    service_name: str = ""
    metrics_service_name: str = ""
    desired_scale: int | msgspec.UnsetType = msgspec.UNSET
    actual_scale: int | msgspec.UnsetType = msgspec.UNSET


class PodAutoscaler(ApiStruct, frozen=True):
    """One revision that Knative wants to be scaled."""

    metadata: Meta
    spec: PodAutoscalerSpec = PodAutoscalerSpec()
    status: PodAutoscalerStatus = PodAutoscalerStatus()


class ServerlessServiceSpec(ApiStruct, frozen=True):
    """Where a revision's requests go: to its pods (Serve), or first to activators (Proxy)."""

    mode: str = ""
    object_ref: TargetReference = TargetReference()
    protocol_type: str = ""
    num_activators: int = 0


class ServerlessServiceStatus(ApiStruct, frozen=True):
    """A ServerlessService's status, written by Knative's controller."""

    observed_generation: int = 0
    conditions: tuple[ConditionObject, ...] = ()
    service_name: str = ""
    private_service_name: str = ""


class ServerlessService(ApiStruct, frozen=True):
    """A revision's Services."""

    metadata: Meta
    spec: ServerlessServiceSpec = ServerlessServiceSpec()
    status: ServerlessServiceStatus = ServerlessServiceStatus()


class MetricSpec(ApiStruct, frozen=True, omit_defaults=False):
    """What is collected of a revision. Windows are nanoseconds; an empty target is not scraped."""

    stable_window: int = 0
    panic_window: int = 0
    scrape_target: str = ""


class MetricStatus(ApiStruct, frozen=True):
    """Whether the collection of the load works."""

    observed_generation: int = 0
    conditions: tuple[ConditionObject, ...] = ()


class Metric(ApiStruct, frozen=True):
    """The collection of a revision's load."""

    metadata: Meta
    spec: MetricSpec = MetricSpec()
    status: MetricStatus = MetricStatus()
