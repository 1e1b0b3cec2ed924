"""The autoscaler's numbers at one moment, for `metrics` and `explain_server`.

They are collected on request only; only `ScrapeTimes` is written as things happen.
Counts are since the start of the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dilu_autoscaler.knative.scraping.scrape_schedule import ScrapeTimes
from dilu_autoscaler.policy.horizontal.kpa.settings import ScalingMetric


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionNumbers:
    """The numbers of one revision."""

    namespace: str
    revision: str
    service: str = ""  # by the PodAutoscaler's labels; "": none
    configuration: str = ""
    policy: str = "kpa"
    min_replicas: int = 0
    max_replicas: int | None = None  # None: unbounded
    metric: ScalingMetric = ScalingMetric.CONCURRENCY
    desired: int | None = None  # by the policy; None: nothing decided yet
    requested: int | None = None  # what the Deployment was last set to; None: not known
    ready: int = 0
    not_ready: int = 0
    pending: int = 0
    terminating: int = 0
    panicking: bool = False
    excess_burst_capacity: int | None = None
    stable: float | None = None
    panic: float | None = None
    target: float | None = None  # load per replica, utilisation included
    queue_depth: int | None = None  # by its runtimes, as the next three; None: no report in the last seconds
    oldest_wait_s: float | None = None
    refused_rps: float | None = None
    learned_rps: float | None = None  # of one replica
    scrape_errors: int = 0
    scrape_times: ScrapeTimes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketNumbers:
    """The numbers of one bucket's lease."""

    bucket: str
    holder: str = ""  # its identity, POD_IP; "": it has none
    is_held: bool = False  # by this process, now
    renewals: int = 0
    failures: int = 0
    taken: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessNumbers:
    """The numbers of the process as a whole."""

    mode: str = "replace"
    version: str = ""
    stock_names: bool = False  # whether config-observability has Prometheus, so that Knative's names are exported
    stats_received: int = 0
    stats_dropped: int = 0
    frames_undecodable: int = 0
    websocket_clients: int = 0
    connections_cut: int = 0
    forwarded: int = 0
    forward_dropped: int = 0
    forward_queued: int = 0
    ticks: int = 0
    tick_overruns: int = 0
    work_queue: int = 0
    reconcile_errors: int = 0
    api_errors: Mapping[str, int] = field(default_factory=dict)  # by verb
    config_errors: Mapping[str, int] = field(default_factory=dict)  # by ConfigMap: 1 while it is invalid
    informer_age_s: Mapping[str, float] = field(
        default_factory=dict
    )  # by kind: since the API server last sent anything


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """All numbers."""

    process: ProcessNumbers = ProcessNumbers()
    buckets: tuple[BucketNumbers, ...] = ()
    revisions: tuple[RevisionNumbers, ...] = ()
