"""Brings one revision's objects to what was decided: reads the caches, plans, writes what differs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from dilu.http.client.gets import GetClient
from dilu_autoscaler.knative.configuration.config import KPA_CLASS, Config
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings, settings_of
from dilu_autoscaler.knative.deciding.deciders import Deciders
from dilu_autoscaler.knative.objects import UNKNOWN_SCALE, PodAutoscaler, ServerlessService
from dilu_autoscaler.knative.reconciling import conditions
from dilu_autoscaler.knative.reconciling.cluster_view import CLASS_ANNOTATION, ClusterView
from dilu_autoscaler.knative.reconciling.conditions import ACTIVE, TRUE
from dilu_autoscaler.knative.reconciling.metric_status import metric_status
from dilu_autoscaler.knative.reconciling.replica_count import wanted_count
from dilu_autoscaler.knative.reconciling.revision_plan import RevisionPlan, RevisionView, needs_activator_answer, plan
from dilu_autoscaler.knative.reconciling.writer import LostBucketError, Writer
from dilu_autoscaler.knative.reconciling.writes import Write, metric_status_write
from dilu_autoscaler.knative.scraping.activator_probe import ActivatorProber, ProbeTarget, activator_answers
from dilu_autoscaler.knative.scraping.scrape_schedule import ScrapeSchedule
from dilu_autoscaler.knative.scraping.scraper import ScrapeTarget
from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import first_excess_burst_capacity
from dilu_kube.client import Conflict, KubeError
from dilu_kube.work_queue import WorkQueue

AFTER_PROBE_S: Final = 1.0
_log = logging.getLogger(__name__)


class Reconciler:
    """Looks at one PodAutoscaler at a time, by its key; the queue sees to the order and to retries."""

    def __init__(
        self,
        view: ClusterView,
        deciders: Deciders,
        schedule: ScrapeSchedule,
        writer: Writer,
        *,
        config: Callable[[], Config],
        is_ours: Callable[[str], bool],
        note: Callable[[RevisionView, RevisionPlan], None],
        on_removed: Callable[[str], None],
        settles_for_s: Callable[[str], float],
        probe_client: GetClient,
        cluster_domain: str,
    ) -> None:
        """`note` gets each plan and its outcome, `on_removed` each revision that is no longer scaled.

        `settles_for_s` returns for how long a revision is still not scaled down, as too little is known of its load.
        """
        self.errors = 0
        self.queue = WorkQueue(self._counted)
        self._view = view
        self._deciders = deciders
        self._schedule = schedule
        self._writer = writer
        self._config = config
        self._is_ours = is_ours
        self._note = note
        self._on_removed = on_removed
        self._settles_for_s = settles_for_s
        self._probe_client = probe_client
        self._cluster_domain = cluster_domain
        self._prober = ActivatorProber(probe_client, self._probed)
        self._uids: dict[str, str] = {}  # of the PodAutoscalers that were reconciled last

    async def close(self) -> None:
        """Stop reconciling; cancel what is under way."""
        await self.queue.close()
        await self._prober.close()

    def forget(self, key: str) -> None:
        """Stop deciding on a revision and scraping its pods."""
        self._deciders.forget(key)
        self._schedule.forget(key)

    async def _counted(self, key: str) -> None:
        try:
            await self._reconcile(key)
        except Exception:
            self.errors += 1
            raise

    async def _reconcile(self, key: str) -> None:
        autoscaler = self._view.autoscalers.get(key)
        is_kpa = autoscaler is not None and autoscaler.metadata.annotations.get(CLASS_ANNOTATION) == KPA_CLASS
        if autoscaler is None or not is_kpa or autoscaler.metadata.deletion_timestamp:
            self._end(key)
            return
        if self._uids.setdefault(key, autoscaler.metadata.uid) != autoscaler.metadata.uid:
            self._end(key)  # deleted and created again: what was known is about the former one
            self._uids[key] = autoscaler.metadata.uid
        if not self._is_ours(key):
            return  # reconciled again when it is; decisions stay, since the API may only be unavailable
        settings = settings_of(autoscaler, self._config())
        services = self._view.services.get(key)
        if services is not None and services.status.private_service_name:
            self._decide_on(key, settings, services)
        world = self._world(key, autoscaler, services, settings)
        if needs_activator_answer(world):
            answers = await activator_answers(self._probe_client, self._probe_target(autoscaler))
            # As it is by now: a request may have come meanwhile, and the last replica must not go then.
            world = replace(self._world(key, autoscaler, services, settings), activator_answers=answers)
        made = plan(world)
        try:
            await self._writer.write(key, self._writes(key, world, made), going=_going(world, made))
        except LostBucketError:
            return
        except Conflict:  # our watch was behind; the next try knows more, and there is nothing to report
            raise
        except KubeError as error:
            self._note(world, replace(made, error=str(error)))
            raise
        self._note(world, made)
        self._afterwards(key, autoscaler, made)

    def _end(self, key: str) -> None:
        """Forget a revision that was deleted or is not ours."""
        self._uids.pop(key, None)
        self.forget(key)
        self._on_removed(key)

    def _writes(self, key: str, world: RevisionView, made: RevisionPlan) -> Sequence[Write]:
        """Return the plan's writes, and the one of the Metric's status."""
        if world.metric is None or made.error is not None or not made.wants_decider:
            return made.writes
        status = metric_status(world.metric, failure=self._schedule.failure(key), now_s=world.now_s)
        write = metric_status_write(world.metric, status)
        return made.writes if write is None else (*made.writes, write)

    def _decide_on(self, key: str, settings: RevisionSettings, services: ServerlessService) -> None:
        """Have the revision's load collected and its number decided."""
        self._deciders.ensure(key, settings)
        if not settings.collection.is_scraped and not settings.is_opted_in:
            self._schedule.forget(key)
            return
        network = self._config().network
        namespace, _, revision = key.partition("/")
        target = ScrapeTarget(
            namespace=namespace,
            revision=revision,
            service=services.status.private_service_name,
            mesh_mode=network.mesh_mode,
            mesh_pod_addressability=network.mesh_pod_addressability,
        )
        self._schedule.scrape(
            target,
            settings.collection.stable_window_s,
            scrapes_queue_proxies=settings.collection.is_scraped,
            scrapes_runtime=settings.is_opted_in,
        )

    def _world(
        self,
        key: str,
        autoscaler: PodAutoscaler,
        services: ServerlessService | None,
        settings: RevisionSettings,
    ) -> RevisionView:
        deployment = self._view.deployment_of(autoscaler)
        if key in self._deciders:
            decided, excess = self._deciders.decided(key)
            desired = self._wanted(key, decided, autoscaler, None if deployment is None else deployment.spec.replicas)
        else:
            desired = UNKNOWN_SCALE
            excess = first_excess_burst_capacity(settings.kpa, initial_scale=settings.initial_scale)
        return RevisionView(
            pa=autoscaler,
            sks=services,
            metric=self._view.metrics.get(key),
            replicas=None if deployment is None else deployment.spec.replicas,
            pods=self._view.counts(key),
            desired=desired,
            excess_burst_capacity=excess,
            settings=settings,
            config=self._config(),
            activator_answers=None,
            now_s=time.time(),
        )

    def _wanted(self, key: str, decided: int, autoscaler: PodAutoscaler, replicas: int | None) -> int:
        """Return the decided count after what this moment adds to it; reconcile again when settling is over."""
        may_give_up, is_active = self._deciders.may_give_up(key), _is_active(autoscaler)
        settles_for_s = self._settles_for_s(key)
        unsettled, settled = (
            wanted_count(decided, may_give_up=may_give_up, is_active=is_active, replicas=replicas, settles=settles)
            for settles in (False, settles_for_s > 0)
        )
        if settled != unsettled:
            self.queue.add_after(key, settles_for_s)
        return settled

    def _probe_target(self, autoscaler: PodAutoscaler) -> ProbeTarget:
        return ProbeTarget(
            namespace=autoscaler.metadata.namespace,
            service=autoscaler.status.service_name,
            cluster_domain=self._cluster_domain,
            port=81 if autoscaler.spec.protocol_type == "h2c" else 80,
        )

    def _afterwards(self, key: str, autoscaler: PodAutoscaler, made: RevisionPlan) -> None:
        if made.again_after_s is not None:
            self.queue.add_after(key, made.again_after_s)
        if made.starts_probe:
            self._prober.offer(key, self._probe_target(autoscaler))
        if made.error is not None:
            raise ReconcileError(made.error)

    def _probed(self, key: str, answered: bool) -> None:
        self.queue.add_after(key, AFTER_PROBE_S)


def _is_active(autoscaler: PodAutoscaler) -> bool:
    found = conditions.find(autoscaler.status.conditions, ACTIVE)
    return found is not None and found.status == TRUE


def _going(world: RevisionView, made: RevisionPlan) -> int:
    """How many replicas go, where co-scaling has its say in which."""
    if not world.settings.is_opted_in or world.replicas is None or made.want < 0:
        return 0
    return max(0, world.replicas - made.want)


class ReconcileError(KubeError):
    """A revision cannot be brought to what was decided; it is tried again later and later."""
