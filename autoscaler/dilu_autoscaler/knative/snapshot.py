"""The autoscaler's numbers at one moment, as its owner says them to whoever looks: `metrics`, `explain_server`.

They are collected when somebody looks, and at no other time; only `ScrapeTimes` is written as things happen.
Counts are since the start of the process.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from dilu_autoscaler.policy.kpa_spec import Metric

SCRAPE_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Knative's own."""


class ScrapeTimes:
    """How long the rounds of asking one revision's pods took."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(SCRAPE_BOUNDS_S) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one round."""
        self.counts[bisect_left(SCRAPE_BOUNDS_S, seconds)] += 1
        self.total_s += seconds

    def cumulative(self) -> Iterator[tuple[str, int]]:
        """Each upper bound as Prometheus spells it, and how many rounds took at most so long."""
        running = 0
        for bound, count in zip((*SCRAPE_BOUNDS_S, None), self.counts, strict=True):
            running += count
            yield "+Inf" if bound is None else repr(bound), running


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionNumbers:
    """One revision."""

    namespace: str
    revision: str
    service: str = ""  # by the PodAutoscaler's labels; "": it has none
    configuration: str = ""
    policy: str = "kpa"
    metric: Metric = Metric.CONCURRENCY
    desired: int | None = None  # what the policy decided; None: nothing yet
    requested: int | None = None  # what the Deployment was last asked for; None: not known
    ready: int = 0
    not_ready: int = 0
    pending: int = 0
    terminating: int = 0
    panicking: bool = False
    excess_burst_capacity: int | None = None
    stable: float | None = None
    panic: float | None = None
    target: float | None = None  # load per replica, utilisation included
    scrape_errors: int = 0
    scrape_times: ScrapeTimes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketNumbers:
    """One bucket's lease."""

    bucket: str
    holder: str = ""  # its identity, POD_IP; "": nobody's
    is_held: bool = False  # by this process, now
    renewals: int = 0
    failures: int = 0
    taken: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessNumbers:
    """The process as a whole."""

    mode: str = "replace"
    version: str = ""
    stock_names: bool = False  # whether config-observability asks for Prometheus, so that Knative's names are there too
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
    config_complaints: Mapping[str, int] = field(default_factory=dict)  # by ConfigMap: 1 while it is unusable
    informer_age_s: Mapping[str, float] = field(default_factory=dict)  # by kind: since the API server was last heard


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """All of them."""

    process: ProcessNumbers = ProcessNumbers()
    buckets: tuple[BucketNumbers, ...] = ()
    revisions: tuple[RevisionNumbers, ...] = ()
