"""The autoscaler's process: wires all parts, starts them in the order that Knative needs, and ends them in order.

The stat server listens before anything else is known, because activators that cannot connect turn unready. A lease is
taken only when all informers have synced and the configuration is valid.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from dilu.errors import ConfigError
from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.buckets.bucket_addresses import BucketAddresses
from dilu_autoscaler.knative.buckets.hashing import bucket_name, owner
from dilu_autoscaler.knative.buckets.leases import BucketLeases
from dilu_autoscaler.knative.configuration.config_watch import CHANGES_REVISIONS, ConfigWatch
from dilu_autoscaler.knative.configuration.process_settings import ProcessSettings
from dilu_autoscaler.knative.deciding.deciders import Deciders
from dilu_autoscaler.knative.explaining.explain_server import ExplainServer
from dilu_autoscaler.knative.explaining.explanations import Explanations
from dilu_autoscaler.knative.objects import POD_AUTOSCALERS
from dilu_autoscaler.knative.reconciling.cluster_view import ClusterView
from dilu_autoscaler.knative.reconciling.reconciler import Reconciler
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView
from dilu_autoscaler.knative.reconciling.scale_down import Shrinking
from dilu_autoscaler.knative.reconciling.writer import Writer
from dilu_autoscaler.knative.reports.sampling import Targets
from dilu_autoscaler.knative.reports.stat_traffic import StatTraffic
from dilu_autoscaler.knative.scraping.runtime_stats import MAX_STATS_BYTES, RuntimeStats
from dilu_autoscaler.knative.scraping.scrape_schedule import ScrapeSchedule
from dilu_autoscaler.knative.scraping.scraper import Scraped
from dilu_autoscaler.replay.recorder import Recorder
from dilu_kube.client import KubeClient
from dilu_kube.event_recorder import EventRecorder
from dilu_kube.objects import Meta
from dilu_kube.resources import CONFIG_MAPS

COMPONENT: Final = "dilu-autoscaler"
SETTLES_S: Final = 15.0
"""The time after a bucket became ours in which nothing is scaled down: activators have to find us first. Pods are
scraped at once, but do not report the requests that pass through an activator."""
_MAX_KNOWN: Final = 65_536  # revisions whose bucket is remembered: with several buckets, finding it takes a while
_log = logging.getLogger(__name__)


class Autoscaler:
    """The parts of one process. `run` starts them, and ends them when it is cancelled."""

    def __init__(self, settings: ProcessSettings, client: KubeClient, traffic: StatTraffic) -> None:
        self._settings = settings
        self._client = client
        self.traffic = traffic
        self.mode, self.policy = settings.mode, settings.policy
        self.explaining = Explanations(self, None if settings.record is None else Recorder(settings.record))
        self.events = EventRecorder(client, COMPONENT, time.time)
        self.config = ConfigWatch(
            client,
            namespace=settings.system_namespace,
            map_names=settings.map_names,
            on_change=self._config_changed,
            on_error=self._config_error,
        )
        self.view = ClusterView(client, on_change=self._changed)
        self._scrape_client, self._probe_client = GetClient(), GetClient()
        self._stats_client = GetClient(timeout_s=1.0, max_body_bytes=MAX_STATS_BYTES)
        self.runtimes = RuntimeStats(self._stats_client)
        self.deciders = Deciders(
            replicas=self.view.replicas,
            throughputs=self,
            on_change=lambda key: self.reconciler.queue.add(key),
            on_tick=self.explaining.ticked,
            policy=settings.policy,
        )
        self.schedule = ScrapeSchedule(
            self._scrape_client,
            targets=self._targets,
            on_scraped=self._scraped,
            scrape_runtime=self._scrape_runtime,
        )
        self.writer = Writer(
            client,
            may_write=self.is_ours,
            writes=settings.mode.writes,
            before_scale_down=Shrinking(client, self.view, self.runtimes).prepare,
        )
        self.reconciler: Reconciler = Reconciler(
            self.view,
            self.deciders,
            self.schedule,
            self.writer,
            config=lambda: self.config.config,
            is_ours=self.is_ours,
            note=self._planned,
            on_removed=self._removed,
            settles_for_s=self._settles_for_s,
            probe_client=self._probe_client,
            cluster_domain=settings.cluster_domain,
        )
        self.buckets: tuple[str, ...] = ()
        self._bucket_of: Callable[[str], str] = lambda key: ""
        self._silent: set[str] = set()  # revisions whose last scrape failed
        self._held_since_s: dict[str, float] = {}  # bucket: when it became ours (monotonic)
        self.leases: BucketLeases | None = None
        self._addresses: BucketAddresses | None = None

    async def run(self) -> None:
        """Decide and act until cancelled. Raises the error that ended a part."""
        explains = ExplainServer(self.explaining)
        try:
            await explains.start(self._settings.host, self._settings.explain_port)
        except OSError as error:
            port = self._settings.explain_port
            raise ConfigError(f"cannot listen on port {port}: {error.strerror}") from None
        self.config.start()
        self.view.start()
        try:
            await self.config.complete()
            await self.view.synced()
            self._start_leases()
            self.reconciler.queue.start()
            async with asyncio.TaskGroup() as parts:
                parts.create_task(self.deciders.run())
                parts.create_task(self.schedule.run())
        finally:
            await self._end()
            await explains.close()

    def is_ours(self, key: str) -> bool:
        """Return whether we decide on a revision now. In mode observe, every revision is ours."""
        if not self._settings.mode.writes:
            return True
        return self.leases is not None and self.leases.holds(self.bucket_of(key))

    def bucket_of(self, key: str) -> str:
        """Return the bucket of a revision."""
        return self._bucket_of(key)

    def learned_rps(self, key: str, now_s: float) -> float | None:
        """Return what one replica has shown it sustains; see `loads.Throughputs`."""
        stats = self.runtimes.of(key, now_s)
        return None if stats is None else stats.learned_rps

    def informer_ages_s(self) -> dict[str, float]:
        """Return the maximum age of the known objects of each kind."""
        ages = {kind: informer.last_contact_s for kind, informer in self.view.informers.items()}
        return ages | {"ConfigMap": self.config.informer.last_contact_s}

    def _start_leases(self) -> None:
        """Compute the buckets, and start to take their leases."""
        count = self.config.config.leader_election.buckets
        self.buckets = buckets = tuple(bucket_name(ordinal, count) for ordinal in range(count))
        self._bucket_of = lru_cache(maxsize=_MAX_KNOWN)(lambda key: owner(key, buckets))
        settings = self._settings
        self.leases = BucketLeases(
            self._client,
            namespace=settings.system_namespace,
            identity=settings.identity,
            buckets=self.buckets,
            takes=settings.mode.writes,
        )
        self.leases.on_change(self._lease_changed)
        if settings.mode.writes:
            self._addresses = BucketAddresses(
                self._client,
                namespace=settings.system_namespace,
                pod_ip=settings.pod_ip,
                holds=self.leases.holds,
            )
            self.leases.on_change(self._addresses.on_lease)
        self.traffic.route(self.buckets, self.leases, lambda stat: self.deciders.collector.record(stat, time.time()))
        self.leases.start()

    async def _end(self) -> None:
        """Stop deciding, release the buckets, and only then close the rest."""
        await self.reconciler.close()
        self.explaining.close()
        if self.leases is not None:
            await self.leases.close()
        if self._addresses is not None:
            await self._addresses.close()
        await asyncio.gather(self.view.close(), self.config.close(), self.events.close())
        for client in (self._scrape_client, self._probe_client, self._stats_client):
            await client.close()

    # --- callbacks of the parts -------------------------------------------------------------------------------------

    def _changed(self, key: str) -> None:
        self.reconciler.queue.add(key)
        self.deciders.poke_at_rest(key)

    def _config_changed(self, name: str) -> None:
        if name in CHANGES_REVISIONS:
            for key in list(self.view.keys()):
                self.reconciler.queue.add(key)

    def _config_error(self, meta: Meta, error: str) -> None:
        if self._settings.mode.writes:
            self.events.record(CONFIG_MAPS, meta, type="Warning", reason="InvalidConfiguration", message=error)

    def _lease_changed(self, bucket: str, holds_it: bool, holder: str) -> None:
        _log.info("bucket=%s holder=%s ours=%s", bucket, holder or "none", holds_it)
        if holds_it:
            self._held_since_s[bucket] = time.monotonic()
        if self._settings.mode.writes:
            self.traffic.holder_changed(bucket)
        for key in list(self.view.keys()):
            if self.bucket_of(key) != bucket:
                continue
            if holds_it or not self._settings.mode.writes:
                self.reconciler.queue.add(key)
            elif (
                holder and holder != self._settings.identity
            ):  # another decides; without a holder the API is unavailable
                self.reconciler.forget(key)

    def _settles_for_s(self, key: str) -> float:
        since_s = max(self._held_since_s.get(self.bucket_of(key), -math.inf), self.deciders.clock_set_s)
        return since_s + SETTLES_S - time.monotonic()

    def _targets(self, key: str, stable_window_s: float, now_s: float) -> Targets:
        return self.view.targets(key, stable_window_s=stable_window_s, now_s=now_s)

    def _scraped(self, key: str, result: Scraped, began_s: float) -> None:
        if (result.error is None) is (key in self._silent):  # it changed, so the Metric's status changes
            self._silent ^= {key}
            self.reconciler.queue.add(key)
        if result.load is not None:
            self.deciders.collector.record_scraped(key, result.load, began_s)
            if result.load.concurrency or result.load.rps:
                self.deciders.poke_at_rest(key)

    def _scrape_runtime(self, key: str) -> None:
        self.runtimes.poll(key, self.view.ready_pods(key))

    def _removed(self, key: str) -> None:
        self.explaining.forget(key)
        self.runtimes.forget(key)
        self.writer.forget(key)
        self._silent.discard(key)

    def _planned(self, world: RevisionView, made: RevisionPlan) -> None:
        autoscaler, settings = world.pa, world.settings
        self.explaining.planned(world, made)
        if made.wants_decider:
            self._accept_waiting(autoscaler.metadata.key, world)
        if not self._settings.mode.writes:
            return
        for error in settings.errors:
            self.events.record(
                POD_AUTOSCALERS, autoscaler.metadata, type="Warning", reason="InvalidAnnotation", message=error
            )
        if made.error is not None:
            self.events.record(
                POD_AUTOSCALERS, autoscaler.metadata, type="Warning", reason="InternalError", message=made.error
            )

    def _accept_waiting(self, key: str, world: RevisionView) -> None:
        """Record the reports that were queued before we held the bucket.

        Only at zero: activators do not see all load of a revision with pods, and a part of it would scale it down.
        """
        waiting = self.traffic.take_waiting(key)
        if not world.pods.ready:
            for stat in waiting:
                self.deciders.collector.record(stat, world.now_s)
