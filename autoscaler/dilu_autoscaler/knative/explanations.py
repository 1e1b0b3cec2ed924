"""What the process tells about itself: the log of its decisions, its numbers, and what it is recorded with."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from dilu.spec import to_mapping
from dilu.version import sdk_version
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.deciding.kpa_policy import AveragedObservation
from dilu_autoscaler.knative.deciding.loads import SECOND_IS_OVER_S
from dilu_autoscaler.knative.explaining.decision_log import DecisionLog, DecisionOutcome, outcome_reason
from dilu_autoscaler.knative.explaining.snapshot import BucketNumbers, Numbers, ProcessNumbers, RevisionNumbers
from dilu_autoscaler.knative.objects import PodAutoscaler
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView
from dilu_autoscaler.knative.reconciling.writes import WriteKind
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.replay.recorder import Recorder
from dilu_autoscaler.replay.spec_keys import keys_of

if TYPE_CHECKING:
    from dilu_autoscaler.knative.process import Autoscaler

_LABELS: Final = ("serving.knative.dev/service", "serving.knative.dev/configuration")


class Explaining:
    """Keeps the last decisions, records where it is asked to, and answers `explain_server`."""

    def __init__(self, process: Autoscaler, recorder: Recorder | None) -> None:
        self._process = process
        self._recorder = recorder
        self._log = DecisionLog()
        self._requested: dict[str, int] = {}
        self._ticks = 0
        self._recorded_until_s: dict[str, float] = {}
        self._first_ready: dict[str, int] = {}

    def ticked(self, tick: Tick, settings: RevisionSettings) -> None:
        """Take in a decision."""
        self._ticks += 1
        key = tick.function
        if tick.decision.stable is None and settings.is_opted_in:
            averages = self._process.deciders.collector.averages(key, settings.kpa.metric, tick.now_s)
            stable, panic = (None, None) if averages is None else (averages.stable, averages.panic)
            excess = self._process.deciders.decided(key)[1]
            self._log.ticked(tick, stable=stable, panic=panic, excess_burst_capacity=excess)
        else:
            self._log.ticked(tick)
        if self._recorder is not None:
            self._record(self._recorder, tick, settings)

    def planned(self, world: RevisionView, made: RevisionPlan) -> None:
        """Take in what became of a decision."""
        key = world.pa.metadata.key
        if made.want >= 0:
            self._requested[key] = made.want
        scales = any(write.kind is WriteKind.SCALE for write in made.writes)
        is_new = scales and made.error is None and self._process.mode.writes
        applied = is_new or (made.want >= 0 and made.want == world.replicas)
        outcome = DecisionOutcome(want=made.want, applied=applied, reason=outcome_reason(world, made))
        self._log.reconciled(key, outcome, world.now_s)

    def forget(self, key: str) -> None:
        """Keep nothing more of a revision."""
        self._log.forget(key)
        self._requested.pop(key, None)
        self._recorded_until_s.pop(key, None)
        self._first_ready.pop(key, None)
        if self._recorder is not None:
            self._recorder.forget(key)

    def close(self) -> None:
        """Write what is recorded."""
        if self._recorder is not None:
            self._recorder.close()

    # --- for explain_server ------------------------------------------------------------------------------------------

    def decisions(self) -> DecisionLog:
        """The last decisions."""
        return self._log

    def bucket_of(self, key: str) -> str:
        """A revision's bucket; empty while the buckets are not known."""
        return self._process.bucket_of(key) if self._process.buckets else ""

    def buckets(self) -> Sequence[BucketNumbers]:
        """Who holds which bucket."""
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
        """What a revision is scaled by."""
        settings = self._process.deciders.settings(key)
        if settings is None:
            return None
        bounds = {"min-scale": settings.least, "max-scale": settings.most, "initial-scale": settings.initial}
        return {"policy": self._process.deciders.policy(key), **keys_of(settings.kpa), **bounds}

    def numbers(self) -> Numbers:
        """Everything, now."""
        process = self._process
        revisions = tuple(
            self._revision(one) for one in process.view.autoscalers.items() if _key(one) in process.deciders
        )
        return Numbers(process=self._process_numbers(), buckets=tuple(self.buckets()), revisions=revisions)

    def _revision(self, autoscaler: PodAutoscaler) -> RevisionNumbers:
        process, key = self._process, _key(autoscaler)
        counts, settings = process.view.counts(key), process.deciders.settings(key)
        assert settings is not None
        desired, excess = process.deciders.decided(key)
        last = self._log.last(key)
        said = process.runtimes.of(key, time.time()) if settings.is_opted_in else None
        service, configuration = (autoscaler.metadata.labels.get(label, "") for label in _LABELS)
        return RevisionNumbers(
            namespace=autoscaler.metadata.namespace,
            revision=autoscaler.metadata.name,
            service=service,
            configuration=configuration,
            policy=process.deciders.policy(key),
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
            queue_depth=None if said is None else said.queue_depth,
            oldest_wait_s=None if said is None else said.oldest_wait_s,
            refused_rps=None if said is None else said.refused_rps,
            capacity_rps=None if said is None else said.capacity_rps,
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
            config_complaints=dict.fromkeys(process.config.complaints, 1),
            informer_age_s=process.informer_ages_s(),
        )

    def _record(self, recorder: Recorder, tick: Tick, settings: RevisionSettings) -> None:
        """The decision, and for KPA the seconds that it does not see itself."""
        key = tick.function
        if settings.function is not None:
            function = {**to_mapping(settings.function)}
            if isinstance(tick.seen, AveragedObservation):  # KPA's, until a throughput is learned
                recorder.spec(key, function)
                self._record_seconds(recorder, tick)
            else:
                recorder.tick(tick, function)
            return
        first = self._process.deciders.first_look(key)
        if first is None:
            return  # nothing was looked at yet
        first_ready, first_s = first
        keys = keys_of(settings.kpa, initial_ready=self._first_ready.setdefault(key, first_ready))
        recorder.spec(key, keys)
        if key not in self._recorded_until_s and tick.seen is None and tick.now_s == first_s:
            # The scaler is made now, though its first decision is yet to come: a replay has to begin here as well.
            recorder.averages(key, t_s=first_s, ready=first_ready, stable=None, panic=None)
        recorder.tick(tick, keys)
        self._record_seconds(recorder, tick)

    def _record_seconds(self, recorder: Recorder, tick: Tick) -> None:
        """The seconds since the last ones, as far as they are over for a co-scaling policy, which may be next."""
        key, seen = tick.function, tick.seen
        if seen is None:
            return
        until_s = tick.now_s - 1.0 - SECOND_IS_OVER_S
        since_s = self._recorded_until_s.get(key, math.inf)
        if since_s > tick.now_s:  # nothing yet, or the clock went back
            since_s = until_s - 1.0
        for sample in self._process.deciders.collector.seconds(key, since_s=since_s, until_s=until_s):
            recorder.values(key, t_s=sample.t_s, concurrency=sample.concurrency, rps=sample.rps, ready=seen.ready)
            self._recorded_until_s[key] = sample.t_s + 1.0


def _key(autoscaler: PodAutoscaler) -> str:
    return autoscaler.metadata.key
