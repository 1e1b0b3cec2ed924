"""The metrics of Knative's autoscaler, under the names of its Prometheus exporter.

Its instruments are `kn.revision.pods.desired` and so on. The exporter turns dots into underscores, drops units in
braces, and appends `_per_second` to those of `{request}/s` and `_seconds` to those of `s`. Its labels of the
instrumentation scope (`otel_scope_name` and others), the same on every line, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.samples import Sample

from dilu_autoscaler.knative.explaining.families import Family, Labels, Value, revision_family
from dilu_autoscaler.knative.explaining.snapshot import RevisionNumbers
from dilu_autoscaler.policy.horizontal.kpa.settings import ScalingMetric

_GAUGES: Final[tuple[tuple[str, str, Value], ...]] = (
    ("kn_revision_pods_desired", "Number of pods the autoscaler wants to allocate", lambda of: of.desired),
    ("kn_revision_pods_requested", "Number of pods the autoscaler asked Kubernetes for", lambda of: of.requested),
    ("kn_revision_pods_count", "Number of pods that are ready", lambda of: of.ready),
    ("kn_revision_pods_not_ready_count", "Number of pods that are not ready", lambda of: of.not_ready),
    ("kn_revision_pods_pending_count", "Number of pods that are pending", lambda of: of.pending),
    ("kn_revision_pods_terminating_count", "Number of pods that are terminating", lambda of: of.terminating),
    ("kn_revision_capacity_excess", "Excess burst capacity", lambda of: of.excess_burst_capacity),
    ("kn_revision_panic_mode", "1 in panic mode, else 0", lambda of: of.panicking),
)
# A revision has only those of the metric that it is scaled by.
_LOADS: Final[tuple[tuple[str, str, ScalingMetric, Value], ...]] = (
    (
        "kn_revision_concurrency_stable",
        "Requests in flight, stable window",
        ScalingMetric.CONCURRENCY,
        lambda of: of.stable,
    ),
    (
        "kn_revision_concurrency_panic",
        "Requests in flight, panic window",
        ScalingMetric.CONCURRENCY,
        lambda of: of.panic,
    ),
    (
        "kn_revision_concurrency_target",
        "Requests in flight to aim for",
        ScalingMetric.CONCURRENCY,
        lambda of: of.target,
    ),
    (
        "kn_revision_rps_stable_per_second",
        "Requests per second, stable window",
        ScalingMetric.RPS,
        lambda of: of.stable,
    ),
    ("kn_revision_rps_panic_per_second", "Requests per second, panic window", ScalingMetric.RPS, lambda of: of.panic),
    ("kn_revision_rps_target_per_second", "Requests per second to aim for", ScalingMetric.RPS, lambda of: of.target),
)
_SCRAPE: Final = "kn_autoscaler_scrape_duration_seconds"


def stock_families(revisions: tuple[RevisionNumbers, ...]) -> Iterator[Family]:
    """Yield Knative's families."""
    labels = [_labels(one) for one in revisions]
    for name, text, value_of in _GAUGES:
        yield revision_family(name, text, value_of, revisions, labels)
    for name, text, metric, value_of in _LOADS:
        chosen = [at for at, one in enumerate(revisions) if one.metric is metric]
        yield revision_family(name, text, value_of, [revisions[at] for at in chosen], [labels[at] for at in chosen])
    text = "The duration of scraping the revision"
    yield Family(name=_SCRAPE, text=text, kind="histogram", samples=_scrape_samples(revisions, labels))


def _labels(revision: RevisionNumbers) -> Labels:
    return Labels(
        k8s_namespace_name=revision.namespace,
        kn_configuration_name=revision.configuration,
        kn_revision_name=revision.revision,
        kn_service_name=revision.service,
    )


def _scrape_samples(revisions: tuple[RevisionNumbers, ...], labels: list[Labels]) -> Iterator[Sample]:
    for one, own in zip(revisions, labels, strict=True):
        times = one.scrape_times
        if times is None:
            continue
        count = 0
        for bound, count in times.cumulative():  # the last one is the count of all
            yield Sample(f"{_SCRAPE}_bucket", {**own, "le": bound}, float(count))
        yield Sample(f"{_SCRAPE}_sum", own, times.total_s)
        yield Sample(f"{_SCRAPE}_count", own, float(count))
