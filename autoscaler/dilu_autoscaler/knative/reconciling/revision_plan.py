"""The plan of one reconcile of a PodAutoscaler: which objects are written, and its new status.

Pure: the cluster as the caches know it goes in; the plan that comes out holds only what differs. Steps and conditions
are Knative's, with the one exception that `replica_count` names. Source: the Knative contract, §2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from dilu.errors import ConfigError
from dilu_autoscaler.knative.configuration.config import Config
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.objects import (
    UNKNOWN_SCALE,
    Metric,
    PodAutoscaler,
    PodAutoscalerStatus,
    ServerlessService,
)
from dilu_autoscaler.knative.reconciling import owned_objects
from dilu_autoscaler.knative.reconciling.cluster_view import PodCounts
from dilu_autoscaler.knative.reconciling.owned_objects import MIN_ACTIVATORS, PROXY, SERVE
from dilu_autoscaler.knative.reconciling.replica_count import Activity, Revision, Scaling, replica_count
from dilu_autoscaler.knative.reconciling.status_draft import StatusDraft
from dilu_autoscaler.knative.reconciling.writes import Write, scale_to, status_write
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionView:
    """What is known of one revision."""

    pa: PodAutoscaler
    sks: ServerlessService | None
    metric: Metric | None
    replicas: int | None
    """What its Deployment asks for; None: the Deployment is not known."""
    pods: PodCounts
    desired: int
    """What the policy decided last; -1: nothing yet."""
    excess_burst_capacity: int
    """KPA's; before its first evaluation `first_excess_burst_capacity`."""
    settings: RevisionSettings
    config: Config
    activator_answers: bool | None
    """What the probe of the public Service said just now; None: not probed, see `needs_activator_answer`."""
    now_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionPlan:
    """What to do: the writes in this order, and when to reconcile again."""

    writes: tuple[Write, ...]
    status: PodAutoscalerStatus
    """The planned status; among the writes only if it differs."""
    again_after_s: float | None
    """When to reconcile again by the clock alone, with an error or without; None: not by the clock."""
    starts_probe: bool
    """Whether to probe the public Service from now on, and to reconcile when an activator answers or none did."""
    error: str | None
    """Why the plan is incomplete. It is retried with back-off; its writes are made nonetheless."""
    wants_decider: bool
    """Whether to collect the load and decide on it. False: not yet; a collection that runs continues."""
    want: int = UNKNOWN_SCALE
    """What the policy's number became; -1: not known."""
    mode: str = PROXY
    activators: int = MIN_ACTIVATORS


def has_private_service(sks: ServerlessService | None) -> bool:
    """Whether the revision has a Service that leads to its pods; before that, nothing is decided."""
    return sks is not None and bool(sks.status.private_service_name)


def needs_activator_answer(world: RevisionView) -> bool:
    """Whether the plan depends on an activator answering at the public Service, and so on probing it first."""
    if world.desired != 0 or world.settings.tbc == UNLIMITED_BURST or not world.config.autoscaler.scale_to_zero:
        return False
    if not has_private_service(world.sks) or not world.pa.status.service_name or _is_foreign(world.metric, world.pa):
        return False
    status = StatusDraft(world.pa, world.settings, world.now_s)
    return status.activity is Activity.INACTIVE and status.bounds.clamp(0) == 0


def plan(world: RevisionView) -> RevisionPlan:
    """Return the plan for a revision as seen."""
    draft = _Draft(world)
    if world.sks is None or not has_private_service(world.sks):
        return draft.finished(_start(draft), wants_decider=False)
    return draft.finished(_continue(draft, world.sks), wants_decider=True)


def _start(draft: _Draft) -> str | None:
    """Plan the ServerlessService, which comes first; return an error or None."""
    error = draft.ensure_sks(PROXY, MIN_ACTIVATORS)
    if error is None:
        draft.status.mark_sks_not_ready("No Private Service Name")
        draft.status.mark_counts(want=UNKNOWN_SCALE, ready=0)
    return error


def _continue(draft: _Draft, sks: ServerlessService) -> str | None:
    """Plan all the rest, in Knative's order; return an error or None."""
    world, status = draft.world, draft.status
    status.metrics_service_name = sks.status.private_service_name
    error = draft.ensure_metric() or draft.apply_scale(sks)
    if error is not None:
        return error
    want, ready = draft.scaling.want, world.pods.ready
    serves = want > 0 and world.excess_burst_capacity >= 0
    error = draft.ensure_sks(SERVE if serves else PROXY, _activators(world))
    if error is not None:
        return error
    status.service_name = sks.status.service_name
    # With another spec it has a new generation, which its controller has not seen.
    if owned_objects.sks_is_ready(sks) and not draft.changes_sks:
        status.mark_sks_ready()
    else:
        status.mark_sks_not_ready(owned_objects.sks_message(sks))
    status.mark_counts(want=want, ready=ready)
    return None


class _Draft:
    """A plan while it is being worked out."""

    def __init__(self, world: RevisionView) -> None:
        self.world = world
        self.status = StatusDraft(world.pa, world.settings, world.now_s)
        self.scaling = Scaling(want=UNKNOWN_SCALE, applies=False)
        self.changes_sks = False
        self._mode, self._activators = PROXY, MIN_ACTIVATORS
        self._writes: list[Write] = []

    def ensure_metric(self) -> str | None:
        """Plan the Metric write; return an error or None."""
        pa, metric, settings = self.world.pa, self.world.metric, self.world.settings
        if _is_foreign(metric, pa):
            return self._not_owned("Metric", "Metric")
        scrape_target = "" if settings.tbc == UNLIMITED_BURST else self.status.metrics_service_name
        self._add(owned_objects.metric_write(pa, metric, owned_objects.metric_spec(settings, scrape_target)))
        return None

    def ensure_sks(self, mode: str, count: int) -> str | None:
        """Plan the ServerlessService write; return an error or None."""
        pa, sks = self.world.pa, self.world.sks
        self._mode, self._activators = mode, count
        if _is_foreign(sks, pa):
            return self._not_owned("ServerlessService", "SKS")
        write = owned_objects.sks_write(pa, sks, owned_objects.sks_spec(pa, mode, count))
        self.changes_sks = write is not None
        self._add(write)
        return None

    def apply_scale(self, sks: ServerlessService) -> str | None:
        """Plan the scale write, if the number applies now; return an error or None."""
        world, target = self.world, self.world.pa.spec.scale_target_ref
        revision = _revision(world, sks, self.status)
        self.scaling = replica_count(world.desired, self.status.bounds, revision, replicas=world.replicas)
        want, replicas = self.scaling.want, world.replicas
        if not self.scaling.applies or want == replicas:
            return None
        if replicas is None:
            return f"error scaling target: there is no {target.kind} {world.pa.metadata.namespace}/{target.name}"
        try:
            self._add(scale_to(target, world.pa.metadata.namespace, want))
        except ConfigError as error:
            return f"error scaling target: {error}"
        return None

    def finished(self, error: str | None, *, wants_decider: bool) -> RevisionPlan:
        """Return the finished plan."""
        status = self.status.status()
        put = status_write(self.world.pa, status)
        return RevisionPlan(
            writes=(*self._writes, put) if put else tuple(self._writes),
            status=status,
            again_after_s=self.scaling.again_after_s,
            starts_probe=self.scaling.starts_probing,
            error=error,
            wants_decider=wants_decider,
            want=self.scaling.want,
            mode=self._mode,
            activators=self._activators,
        )

    def _add(self, write: Write | None) -> None:
        if write is not None:
            so_far = status_write(self.world.pa, self.status.status())
            self._writes.append(replace(write, if_it_fails=so_far))

    def _not_owned(self, kind: str, short: str) -> str:
        self.status.mark_not_owned(kind)
        name = self.world.pa.metadata.name
        return f"error reconciling {short}: PA: {name} does not own {short}: {name}"


def _is_foreign(found: ServerlessService | Metric | None, pa: PodAutoscaler) -> bool:
    return found is not None and not owned_objects.is_owned(found.metadata, pa)


def _activators(world: RevisionView) -> int:
    return owned_objects.activators(
        ready=world.pods.ready,
        total=world.settings.total,
        target_burst_capacity=world.settings.tbc,
        activator_capacity=world.config.autoscaler.activator_capacity,
    )


def _revision(world: RevisionView, sks: ServerlessService, status: StatusDraft) -> Revision:
    cluster, settings = world.config.autoscaler, world.settings
    # Not probed is as good as not answered; so is a Service without a name.
    answers = world.activator_answers is True and bool(world.pa.status.service_name)
    return Revision(
        activity=status.activity,
        activity_for_s=status.activity_for_s,
        stable_window_s=settings.kpa.stable_window_s,
        progress_deadline_s=settings.progress_deadline_s,
        grace_s=cluster.scale_to_zero_grace_s,
        retention_s=settings.retention_s,
        may_be_zero=cluster.scale_to_zero,
        reachable=settings.kpa.reachable,
        proxied=sks.spec.mode == PROXY,
        activators_in_path_for_s=owned_objects.activators_in_path_for_s(sks, world.now_s),
        activator_answers=None if settings.tbc == UNLIMITED_BURST else answers,
    )
