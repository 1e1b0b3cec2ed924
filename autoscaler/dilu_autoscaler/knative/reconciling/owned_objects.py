"""The two objects that a PodAutoscaler owns: its ServerlessService and its Metric. Contract, §1.3."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from dilu.spec.go_durations import NS_PER_S
from dilu_autoscaler.knative.configuration.annotation_rules import METRIC
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings, metric_annotation
from dilu_autoscaler.knative.objects import (
    METRICS,
    POD_AUTOSCALERS,
    SERVERLESS_SERVICES,
    MetricSpec,
    PodAutoscaler,
    ServerlessService,
    ServerlessServiceSpec,
)
from dilu_autoscaler.knative.objects import Metric as MetricObject
from dilu_autoscaler.knative.reconciling import conditions
from dilu_autoscaler.knative.reconciling.conditions import READY, TRUE
from dilu_autoscaler.knative.reconciling.writes import Write, WriteKind, create, typed, update_spec
from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import MAX_COUNT
from dilu_kube.objects import Meta, to_json

PROXY: Final = "Proxy"
SERVE: Final = "Serve"
MIN_ACTIVATORS: Final = 2
_ACTIVATORS_IN_PATH: Final = "ActivatorEndpointsPopulated"


def is_owned(meta: Meta, pa: PodAutoscaler) -> bool:
    """Return whether the PodAutoscaler is the object's controller."""
    return meta.controller is not None and meta.controller.uid == pa.metadata.uid


def sks_spec(pa: PodAutoscaler, mode: str, activators: int) -> ServerlessServiceSpec:
    """Return the ServerlessService's spec: where the revision's requests go."""
    return ServerlessServiceSpec(
        mode=mode,
        object_ref=pa.spec.scale_target_ref,
        protocol_type=pa.spec.protocol_type,
        num_activators=activators,
    )


def activators(*, ready: int, total: float, target_burst_capacity: float, activator_capacity: float) -> int:
    """Return the number of activators in front of a revision, enough for its pods' load and the burst."""
    if target_burst_capacity == 0:
        return MIN_ACTIVATORS
    in_flight = ready * total + max(0.0, target_burst_capacity)
    return min(max(MIN_ACTIVATORS, math.ceil(in_flight / activator_capacity)), MAX_COUNT)


def sks_write(pa: PodAutoscaler, sks: ServerlessService | None, spec: ServerlessServiceSpec) -> Write | None:
    """Return the write that sets the ServerlessService's spec; None if it has it. Labels are not kept up to date."""
    if sks is None:
        body = _body(pa, lambda key: key != METRIC, typed(SERVERLESS_SERVICES), _sks_json(spec))
        return create(WriteKind.CREATE_SKS, SERVERLESS_SERVICES, pa.metadata.namespace, pa.metadata.name, body)
    if sks.spec == spec:
        return None
    return update_spec(WriteKind.UPDATE_SKS, SERVERLESS_SERVICES, sks, _sks_json(spec))


def sks_is_ready(sks: ServerlessService) -> bool:
    """Return whether requests reach pods, by the controller's status of the present generation."""
    ready = conditions.find(sks.status.conditions, READY)
    is_current = sks.status.observed_generation == sks.metadata.generation
    return is_current and ready is not None and ready.status == TRUE


def sks_message(sks: ServerlessService) -> str:
    """Return the controller's message about readiness."""
    ready = conditions.find(sks.status.conditions, READY)
    return "" if ready is None else ready.message


def activators_in_path_for_s(sks: ServerlessService, now_s: float) -> float:
    """Return for how long the public Service has led to activators; 0 if it does not."""
    condition = conditions.find(sks.status.conditions, _ACTIVATORS_IN_PATH)
    if condition is None or condition.status != TRUE:
        return 0.0
    since_s = conditions.since_s(condition)
    return 0.0 if since_s is None else now_s - since_s


def metric_spec(settings: RevisionSettings, scrape_target: str) -> MetricSpec:
    """Return the Metric's spec: what is collected of the revision's load."""
    return MetricSpec(
        stable_window=settings.kpa.stable_window_s * NS_PER_S,
        panic_window=settings.kpa.panic_window_s * NS_PER_S,
        scrape_target=scrape_target,
    )


def metric_write(pa: PodAutoscaler, metric: MetricObject | None, spec: MetricSpec) -> Write | None:
    """Return the write that sets the Metric's spec; None if it has it."""
    if metric is None:
        body = _body(pa, lambda key: True, typed(METRICS), to_json(spec))
        body["metadata"]["annotations"] = {METRIC: metric_annotation(pa), **body["metadata"].get("annotations", {})}
        return create(WriteKind.CREATE_METRIC, METRICS, pa.metadata.namespace, pa.metadata.name, body)
    if metric.spec == spec:
        return None
    return update_spec(WriteKind.UPDATE_METRIC, METRICS, metric, to_json(spec))


def _sks_json(spec: ServerlessServiceSpec) -> dict[str, Any]:
    return {
        "mode": spec.mode,
        "objectRef": to_json(spec.object_ref),
        "protocolType": spec.protocol_type,
        "numActivators": spec.num_activators,
    }


def _body(
    pa: PodAutoscaler, keeps: Callable[[str], bool], begin: dict[str, Any], spec: dict[str, Any]
) -> dict[str, Any]:
    """Return a new object owned by the PodAutoscaler, with its labels and those of its annotations that are kept."""
    meta = pa.metadata
    owner = {
        **typed(POD_AUTOSCALERS),
        "name": meta.name,
        "uid": meta.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    maps = {
        "labels": dict(meta.labels),
        "annotations": {key: text for key, text in meta.annotations.items() if keeps(key)},
    }
    metadata = {
        "name": meta.name,
        "namespace": meta.namespace,
        **{key: content for key, content in maps.items() if content},
        "ownerReferences": [owner],
    }
    return {**begin, "metadata": metadata, "spec": spec}
