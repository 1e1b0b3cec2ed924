"""The status of a Metric: whether a revision's load is being collected. Source: the Knative contract, §1.3."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Final

from dilu_autoscaler.knative import condition_objects
from dilu_autoscaler.knative.conditions import FALSE, READY, TRUE, UNKNOWN, Condition
from dilu_autoscaler.knative.kube.objects import Metric, MetricStatus

_PREFIX: Final = "Failed to reconcile metric collection: "


class CollectionProblem(StrEnum):
    """Why the load is not known, in Knative's words."""

    NO_ENDPOINTS = "NoEndpoints"  # it is not known which pods there are
    NO_STAT = "DidNotReceiveStat"  # the Service led to pods that had been asked before, again and again
    FAILED = "CollectionFailed"  # anything else


def metric_status(
    metric: Metric,
    *,
    error: str | None,
    now_s: float,
    problem: CollectionProblem = CollectionProblem.FAILED,
) -> MetricStatus:
    """The status of a Metric whose load is collected. `error` is that of its last round; None: it went well."""
    ready, since_s = _ready(error, problem), float(int(now_s))
    stored = condition_objects.read_all(metric.status.conditions)
    before = next((one for one in stored if one.type == READY), None)
    if before is not None and before.changed_s is not None and before.same_but_for_time(ready):
        since_s = before.changed_s
    others = (one for one in stored if one.type != READY)
    conditions = sorted([replace(ready, changed_s=since_s), *others], key=lambda one: one.type)
    return MetricStatus(
        observed_generation=metric.metadata.generation,
        conditions=condition_objects.stored_as(conditions, stored),
    )


def _ready(error: str | None, problem: CollectionProblem) -> Condition:
    if error is None:
        return Condition(type=READY, status=TRUE)
    return Condition(
        type=READY,
        status=UNKNOWN if problem is CollectionProblem.NO_ENDPOINTS else FALSE,
        reason=problem.value,
        message=f"{_PREFIX if problem is CollectionProblem.FAILED else ''}{error}",
    )
