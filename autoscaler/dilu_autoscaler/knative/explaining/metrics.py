"""The autoscaler's numbers as Prometheus families, computed at each scrape.

Ours start with `dilu_`. Where Knative's `metrics-protocol` is `prometheus`, the metrics of its own autoscaler are
included, under the names and labels of its exporter, so that dashboards keep working.

Thousands of lines take a while to write and must not block the loop: `pieces` yields them a part at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Final

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric as PrometheusMetric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from dilu_autoscaler.knative.buckets.holder_identity import OUR_DEPLOYMENT, holder_of
from dilu_autoscaler.knative.explaining.families import Family, Labels, Value, line, revision_family
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers, ProcessNumbers, RevisionNumbers
from dilu_autoscaler.knative.explaining.stock_metrics import stock_families

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
SAMPLES_IN_A_PIECE: Final = 200


class NumbersCollector(Collector):
    """Collects what `numbers` returns at that moment; `ours` is the name of our Deployment."""

    def __init__(self, numbers: Callable[[], Numbers], *, ours: str = OUR_DEPLOYMENT) -> None:
        self._numbers = numbers
        self._ours = ours

    def collect(self) -> Iterator[PrometheusMetric]:
        """Yield all families."""
        for family in self._families():
            yield family.metric(family.samples)

    def pieces(self) -> Iterator[bytes]:
        """Yield the text of all families, some hundred lines at a time."""
        for family in self._families():
            samples = iter(family.samples)
            head = generate_latest(_One(family.metric(()))).decode()
            yield (head + "".join(map(line, islice(samples, SAMPLES_IN_A_PIECE)))).encode()
            while piece := "".join(map(line, islice(samples, SAMPLES_IN_A_PIECE))):
                yield piece.encode()

    def _families(self) -> Iterator[Family]:
        numbers = self._numbers()
        yield from _process_families(numbers.process)
        yield from _bucket_families(numbers.buckets, self._ours)
        yield from _revision_families(numbers.revisions)
        if numbers.process.stock_names:
            yield from stock_families(numbers.revisions)


class _One(Collector):
    """A collector of one metric."""

    def __init__(self, metric: PrometheusMetric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[PrometheusMetric]:
        yield self._metric


# --- the process -----------------------------------------------------------------------------------------------------

_PROCESS_COUNTS: Final[tuple[tuple[str, str, Callable[[ProcessNumbers], int]], ...]] = (
    ("dilu_stats_received", "Reports received over websockets.", lambda of: of.stats_received),
    (
        "dilu_stats_dropped",
        "Reports about revisions that are not collected, or with invalid numbers.",
        lambda of: of.stats_dropped,
    ),
    (
        "dilu_stat_frames_undecodable",
        "Websocket messages that are not valid reports.",
        lambda of: of.frames_undecodable,
    ),
    (
        "dilu_connections_cut",
        "Connections that were refused, or closed for being idle or not reading.",
        lambda of: of.connections_cut,
    ),
    ("dilu_stats_forwarded", "Reports forwarded to their bucket's holder.", lambda of: of.forwarded),
    (
        "dilu_stats_forward_dropped",
        "Reports that could not be forwarded, dropped by age or by a full queue.",
        lambda of: of.forward_dropped,
    ),
    ("dilu_ticks", "Decisions.", lambda of: of.ticks),
    ("dilu_tick_overruns", "Decisions that were late by more than a second.", lambda of: of.tick_overruns),
    ("dilu_reconcile_errors", "Reconciliations that failed and are retried.", lambda of: of.reconcile_errors),
)
_PROCESS_GAUGES: Final[tuple[tuple[str, str, Callable[[ProcessNumbers], int]], ...]] = (
    ("dilu_websocket_clients", "Open websockets.", lambda of: of.websocket_clients),
    ("dilu_stats_forward_queued", "Reports that wait to be forwarded.", lambda of: of.forward_queued),
    ("dilu_work_queue_length", "Revisions that wait for reconciliation.", lambda of: of.work_queue),
)
_PROCESS_MAPPINGS: Final[tuple[tuple[str, str, str, str, Callable[[ProcessNumbers], Mapping[str, float]]], ...]] = (
    ("dilu_api_errors", "counter", "verb", "Failed calls of the Kubernetes API.", lambda of: of.api_errors),
    (
        "dilu_config_errors",
        "gauge",
        "config_map",
        "ConfigMaps whose newest contents are invalid; the previous contents are in force.",
        lambda of: of.config_errors,
    ),
    (
        "dilu_informer_age_seconds",
        "gauge",
        "kind",
        "Seconds since the API server last sent anything about a kind.",
        lambda of: of.informer_age_s,
    ),
)


def _process_families(process: ProcessNumbers) -> Iterator[Family]:
    about = Sample("dilu_autoscaler_info", {"mode": process.mode, "version": process.version}, 1)
    yield Family(name="dilu_autoscaler_info", text="Mode and version.", kind="gauge", samples=[about])
    for name, text, count_of in _PROCESS_COUNTS:
        yield Family(name=name, text=text, kind="counter", samples=[Sample(f"{name}_total", {}, count_of(process))])
    for name, text, value_of in _PROCESS_GAUGES:
        yield Family(name=name, text=text, kind="gauge", samples=[Sample(name, {}, value_of(process))])
    for name, kind, label, text, values_of in _PROCESS_MAPPINGS:
        sample_name = f"{name}_total" if kind == "counter" else name
        samples = [Sample(sample_name, {label: key}, value) for key, value in sorted(values_of(process).items())]
        yield Family(name=name, text=text, kind=kind, samples=samples)


# --- the buckets -----------------------------------------------------------------------------------------------------

_BUCKET_COUNTS: Final[tuple[tuple[str, str, Callable[[BucketNumbers], int]], ...]] = (
    ("dilu_bucket_renewals", "Renewals of the bucket's lease by this process.", lambda of: of.renewals),
    ("dilu_bucket_failures", "Renewals that failed.", lambda of: of.failures),
    ("dilu_bucket_taken", "Times that this process took the bucket's lease.", lambda of: of.taken),
    ("dilu_bucket_lost", "Times that this process lost it.", lambda of: of.lost),
)


def _bucket_families(buckets: Iterable[BucketNumbers], ours: str) -> Iterator[Family]:
    held = [Sample("dilu_bucket_held", {"bucket": one.bucket}, float(one.is_held)) for one in buckets]
    yield Family(name="dilu_bucket_held", text="Whether this process holds the bucket.", kind="gauge", samples=held)
    holders = [Sample("dilu_bucket_holder", _holder_labels(one, ours), 1) for one in buckets]
    text = "The bucket's holder, by its Lease: a pod of ours, of Knative's own autoscaler (stock), or none."
    yield Family(name="dilu_bucket_holder", text=text, kind="gauge", samples=holders)
    for name, text, count_of in _BUCKET_COUNTS:
        samples = [Sample(f"{name}_total", {"bucket": one.bucket}, count_of(one)) for one in buckets]
        yield Family(name=name, text=text, kind="counter", samples=samples)


def _holder_labels(bucket: BucketNumbers, ours: str) -> dict[str, str]:
    holder = holder_of(bucket.holder, ours=ours)
    return {"bucket": bucket.bucket, "holder": holder.pod, "side": holder.side.value}


# --- the revisions ---------------------------------------------------------------------------------------------------

_REVISION_GAUGES: Final[tuple[tuple[str, str, Value], ...]] = (
    ("dilu_revision_desired_replicas", "Replicas that the policy decided on.", lambda of: of.desired),
    ("dilu_revision_requested_replicas", "Replicas that the Deployment was set to.", lambda of: of.requested),
    ("dilu_revision_ready_replicas", "Pods that are ready.", lambda of: of.ready),
    ("dilu_revision_not_ready_replicas", "Pods that run but are not ready.", lambda of: of.not_ready),
    ("dilu_revision_pending_replicas", "Pods that do not run yet.", lambda of: of.pending),
    ("dilu_revision_terminating_replicas", "Pods that are stopping.", lambda of: of.terminating),
    ("dilu_revision_panic", "Whether the policy is in panic mode.", lambda of: of.panicking),
    (
        "dilu_revision_excess_burst_capacity",
        "Requests in flight that the ready pods could take beyond the burst target.",
        lambda of: of.excess_burst_capacity,
    ),
    ("dilu_revision_queue_depth", "Requests that wait in Dilu runtimes.", lambda of: of.queue_depth),
    ("dilu_revision_oldest_wait_seconds", "Seconds that the oldest of them has waited.", lambda of: of.oldest_wait_s),
    ("dilu_revision_refused_rps", "Requests per second that Dilu runtimes refuse.", lambda of: of.refused_rps),
    (
        "dilu_revision_learned_rps",
        "Requests per second that one Dilu runtime has shown it sustains.",
        lambda of: of.learned_rps,
    ),
)
_LOAD_GAUGES: Final[tuple[tuple[str, str, Value], ...]] = (
    ("dilu_revision_load_stable", "Load over the stable window, all pods together.", lambda of: of.stable),
    ("dilu_revision_load_panic", "Load over the panic window, all pods together.", lambda of: of.panic),
    ("dilu_revision_load_target", "Target load of one pod.", lambda of: of.target),
)


def _revision_families(revisions: tuple[RevisionNumbers, ...]) -> Iterator[Family]:
    labels = [_labels(one) for one in revisions]
    for name, text, value_of in _REVISION_GAUGES:
        yield revision_family(name, text, value_of, revisions, labels)
    errors = "Scrapes of a revision's pods that failed."
    yield revision_family(
        "dilu_revision_scrape_errors", errors, lambda of: of.scrape_errors, revisions, labels, kind="counter"
    )
    of_load = [Labels({**own, "metric": one.metric.value}) for one, own in zip(revisions, labels, strict=True)]
    for name, text, value_of in _LOAD_GAUGES:
        yield revision_family(name, text, value_of, revisions, of_load)
    of_policy = [Labels({**own, "policy": one.policy}) for one, own in zip(revisions, labels, strict=True)]
    yield revision_family(
        "dilu_revision_policy", "The policy that scales the revision.", lambda _: 1, revisions, of_policy
    )


def _labels(revision: RevisionNumbers) -> Labels:
    return Labels(
        namespace=revision.namespace,
        service=revision.service,
        configuration=revision.configuration,
        revision=revision.revision,
    )
