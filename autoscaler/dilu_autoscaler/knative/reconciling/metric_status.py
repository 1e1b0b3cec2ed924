"""The status of a Metric: whether a revision's load is being collected. Source: the Knative contract, §1.3."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dilu_autoscaler.knative.objects import Metric, MetricStatus
from dilu_autoscaler.knative.reconciling import conditions
from dilu_autoscaler.knative.reconciling.conditions import FALSE, READY, TRUE, Condition
from dilu_autoscaler.knative.scraping.scraper import Scraped, ScrapeProblem

_PREFIX: Final = "Failed to reconcile metric collection: "


def metric_status(
    metric: Metric,
    *,
    failure: Scraped | None,
    now_s: float,
) -> MetricStatus:
    """Return the status of a Metric whose load is collected. `failure` is its last scrape; None: it succeeded."""
    ready, since_s = _ready(failure), float(int(now_s))
    stored = conditions.read_all(metric.status.conditions)
    before = next((one for one in stored if one.type == READY), None)
    if before is not None and before.changed_s is not None and before.same_but_for_time(ready):
        since_s = before.changed_s
    others = (one for one in stored if one.type != READY)
    written = sorted([replace(ready, changed_s=since_s), *others], key=lambda one: one.type)
    return MetricStatus(
        observed_generation=metric.metadata.generation,
        conditions=conditions.stored_as(written, stored),
    )


def _ready(failure: Scraped | None) -> Condition:
    if failure is None or failure.error is None:
        return Condition(type=READY, status=TRUE)
    problem = failure.problem
    return Condition(
        type=READY,
        status=FALSE,
        reason=problem.value,
        message=f"{_PREFIX if problem is ScrapeProblem.FAILED else ''}{failure.error}",
    )
