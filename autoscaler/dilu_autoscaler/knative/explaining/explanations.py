"""What the process reports about itself: its decision log and its numbers, for the explain server and recordings."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from dilu.version import sdk_version
from dilu_autoscaler.explaining.decision_log import DecisionLog, DecisionOutcome
from dilu_autoscaler.knative.buckets.leases import BucketLeases
from dilu_autoscaler.knative.configuration.config_watch import ConfigWatch
from dilu_autoscaler.knative.configuration.process_settings import Mode
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.deciding.deciders import Deciders
from dilu_autoscaler.knative.explaining.outcome_reasons import outcome_reason
from dilu_autoscaler.knative.explaining.recording import RevisionRecorder
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers, ProcessNumbers, RevisionNumbers
from dilu_autoscaler.knative.objects import PodAutoscaler
from dilu_autoscaler.knative.reconciling.cluster_view import ClusterView
from dilu_autoscaler.knative.reconciling.reconciler import Reconciler
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView
from dilu_autoscaler.knative.reconciling.writer import Writer
from dilu_autoscaler.knative.reconciling.writes import WriteKind
from dilu_autoscaler.knative.reports.stat_traffic import StatTraffic
from dilu_autoscaler.knative.scraping.runtime_stats import RuntimeStats
from dilu_autoscaler.knative.scraping.scrape_schedule import ScrapeSchedule
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.replay.recorder import Recorder
from dilu_autoscaler.replay.spec_keys import keys_of

_LABELS: Final = ("serving.knative.dev/service", "serving.knative.dev/configuration")


class ProcessParts(Protocol):
    """The parts of the process that are read. They may be made after `Explanations`, which they call back."""

    mode: Mode
    config: ConfigWatch
    view: ClusterView
    deciders: Deciders
    traffic: StatTraffic
    schedule: ScrapeSchedule
    runtimes: RuntimeStats
    reconciler: Reconciler
    writer: Writer
    buckets: tuple[str, ...]
    leases: BucketLeases | None

    def bucket_of(self, key: str) -> str:
        """Return the bucket of a revision."""
        ...

    def informer_ages_s(self) -> dict[str, float]:
        """Return the age of what is known of each kind."""
        ...


class Explanations:
    """Keeps the decision log, records if told to, and is the source of `explain_server`'s answers."""

    def __init__(self, process: ProcessParts, recorder: Recorder | None) -> None:
        self._process = process
        self._recorder = None if recorder is None else RevisionRecorder(recorder)
        self._log = DecisionLog()
        self._requested: dict[str, int] = {}
        self._ticks = 0

    def ticked(self, tick: Tick, settings: RevisionSettings) -> None:
        """Record a decision."""
        self._ticks += 1
        key, deciders = tick.function, self._process.deciders
        if tick.decision.stable is None and settings.is_opted_in:
            averages = deciders.collector.averages(key, settings.kpa.metric, tick.now_s)
            stable, panic = (None, None) if averages is None else (averages.stable, averages.panic)
            excess = deciders.decided(key)[1]
            self._log.ticked(tick, stable=stable, panic=panic, excess_burst_capacity=excess)
        else:
            self._log.ticked(tick)
        if self._recorder is not None:
            self._recorder.record(tick, settings, deciders)

    def planned(self, world: RevisionView, made: RevisionPlan) -> None:
        """Record the outcome of a decision."""
        key = world.pa.metadata.key
        if made.want >= 0:
            self._requested[key] = made.want
        scales = any(write.kind is WriteKind.SCALE for write in made.writes)
        is_new = scales and made.error is None and self._process.mode.writes
        applied = is_new or (made.want >= 0 and made.want == world.replicas)
        want = made.want if made.want >= 0 else None
        outcome = DecisionOutcome(want=want, applied=applied, reason=outcome_reason(world, made))
        self._log.reconciled(key, outcome, world.now_s)

    def forget(self, key: str) -> None:
        """Drop everything about a revision."""
        self._log.forget(key)
        self._requested.pop(key, None)
        if self._recorder is not None:
            self._recorder.forget(key)

    def close(self) -> None:
        """Write the rest of the recording."""
        if self._recorder is not None:
            self._recorder.close()

    # --- for explain_server ------------------------------------------------------------------------------------------

    def decisions(self) -> DecisionLog:
        """Return the decision log."""
        return self._log

    def bucket_of(self, key: str) -> str:
        """Return the bucket of a revision; "" until the buckets are known."""
        return self._process.bucket_of(key) if self._process.buckets else ""

    def buckets(self) -> Sequence[BucketNumbers]:
        """Return the numbers of all buckets."""
        leases = self._process.leases
        if leases is None:
            return ()
        reports = [leases.report(bucket) for bucket in self._process.buckets]
        return [
            BucketNumbers(
                bucket=one.bucket,
                holder=one.last_holder,
                is_held=one.holds,
                renewals=one.renewals,
                failures=one.failures,
                taken=one.taken,
                lost=one.lost,
            )
            for one in reports
        ]

    def settings(self, key: str) -> Mapping[str, object] | None:
        """Return what a revision is scaled by, under the names of annotations."""
        settings = self._process.deciders.settings(key)
        if settings is None:
            return None
        bounds = {
            "min-scale": settings.min_scale,
            "max-scale": settings.max_scale,
            "initial-scale": settings.initial_scale,
        }
        return {"policy": self._process.deciders.policy(key), **keys_of(settings.kpa), **bounds}

    def revision(self, key: str) -> RevisionNumbers | None:
        """Return the numbers of one revision."""
        autoscaler = self._process.view.autoscalers.get(key)
        if autoscaler is None or key not in self._process.deciders:
            return None
        return self._revision(autoscaler)

    def numbers(self) -> Numbers:
        """Return all numbers."""
        process = self._process
        revisions = tuple(
            self._revision(one) for one in process.view.autoscalers.items() if one.metadata.key in process.deciders
        )
        return Numbers(process=self._process_numbers(), buckets=tuple(self.buckets()), revisions=revisions)

    def _revision(self, autoscaler: PodAutoscaler) -> RevisionNumbers:
        process, key = self._process, autoscaler.metadata.key
        counts, settings = process.view.counts(key), process.deciders.settings(key)
        assert settings is not None
        desired, excess = process.deciders.decided(key)
        last = self._log.last(key)
        runtimes = process.runtimes.of(key, time.time()) if settings.is_opted_in else None
        service, configuration = (autoscaler.metadata.labels.get(label, "") for label in _LABELS)
        return RevisionNumbers(
            namespace=autoscaler.metadata.namespace,
            revision=autoscaler.metadata.name,
            service=service,
            configuration=configuration,
            policy=process.deciders.policy(key),
            min_replicas=settings.min_scale,
            max_replicas=settings.max_scale or None,
            metric=settings.kpa.metric,
            desired=None if desired < 0 else desired,
            requested=self._requested.get(key),
            ready=counts.ready,
            not_ready=counts.not_ready,
            pending=counts.pending,
            terminating=counts.terminating,
            panicking=last is not None and last.panicking,
            excess_burst_capacity=excess,
            stable=None if last is None else last.last.stable,
            panic=None if last is None else last.last.panic,
            target=settings.kpa.target,
            queue_depth=None if runtimes is None else runtimes.queue_depth,
            oldest_wait_s=None if runtimes is None else runtimes.oldest_wait_s,
            refused_rps=None if runtimes is None else runtimes.refused_rps,
            learned_rps=None if runtimes is None else runtimes.learned_rps,
            scrape_errors=process.schedule.failures(key),
            scrape_times=process.schedule.times(key),
        )

    def _process_numbers(self) -> ProcessNumbers:
        process = self._process
        counts, traffic = process.traffic.server.counts, process.traffic
        return ProcessNumbers(
            mode=str(process.mode),
            version=sdk_version(),
            stock_names=process.config.config.observability.metrics_protocol == "prometheus",
            stats_received=counts.stats,
            stats_dropped=process.deciders.collector.dropped + traffic.early + traffic.astray,
            frames_undecodable=counts.undecodable + counts.texts,
            websocket_clients=traffic.server.clients,
            connections_cut=counts.cut,
            forwarded=traffic.forwarded,
            forward_dropped=traffic.lost,
            forward_queued=traffic.queued,
            ticks=self._ticks,
            tick_overruns=process.deciders.overruns,
            work_queue=len(process.reconciler.queue),
            reconcile_errors=process.reconciler.errors,
            api_errors=dict(process.writer.errors),
            config_errors=dict.fromkeys(process.config.errors, 1),
            informer_age_s=process.informer_ages_s(),
        )
