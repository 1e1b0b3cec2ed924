"""All PodAutoscalers of the cluster and their objects, kept up to date by informers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dilu_autoscaler.knative.deciding.loads import Replicas
from dilu_autoscaler.knative.objects import (
    METRICS,
    POD_AUTOSCALERS,
    SERVERLESS_SERVICES,
    Metric,
    PodAutoscaler,
    ServerlessService,
)
from dilu_autoscaler.knative.reconciling.conditions import time_s
from dilu_autoscaler.knative.reports.sampling import Targets, targets_of
from dilu_kube.client import KubeClient
from dilu_kube.informers import Informer
from dilu_kube.objects import Deployment, Pod
from dilu_kube.resources import DEPLOYMENTS, PODS


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounts:
    """The number of one revision's pods by state. Pods that ended, or have no status yet, do not count."""

    ready: int = 0
    not_ready: int = 0
    """Pending and terminating ones included."""
    pending: int = 0
    terminating: int = 0
    """Without pending ones."""


def count_pods(pods: Iterable[Pod]) -> PodCounts:
    """Count the pods of one revision."""
    ready = not_ready = pending = terminating = 0
    for pod in pods:
        if pod.status.phase == "Pending":
            pending += 1
            not_ready += 1
        elif pod.status.phase == "Running":
            is_leaving = pod.metadata.deletion_timestamp is not None
            terminating += is_leaving
            if pod.is_ready and not is_leaving:
                ready += 1
            else:
                not_ready += 1
    return PodCounts(ready=ready, not_ready=not_ready, pending=pending, terminating=terminating)


REVISION_LABEL: Final = "serving.knative.dev/revision"
REVISION_UID_LABEL: Final = "serving.knative.dev/revisionUID"
CLASS_ANNOTATION: Final = "autoscaling.knative.dev/class"
_NO_PODS: Final = PodCounts()


class ClusterView:
    """All PodAutoscalers of the cluster, with their ServerlessServices, Metrics, Deployments and pods."""

    def __init__(self, client: KubeClient, *, on_change: Callable[[str], None]) -> None:
        """`on_change` is called with the key of each PodAutoscaler that may have to be reconciled."""
        self._on_change = on_change
        self.autoscalers = Informer(client, POD_AUTOSCALERS, type=PodAutoscaler)
        self.services = Informer(client, SERVERLESS_SERVICES, type=ServerlessService)
        self.metrics = Informer(client, METRICS, type=Metric)
        self.deployments = Informer(client, DEPLOYMENTS, type=Deployment, label_selector=REVISION_UID_LABEL)
        self.pods = Informer(client, PODS, type=Pod, label_selector=REVISION_UID_LABEL, index=_revision_of)
        self._counts: dict[str, PodCounts] = {}
        self._targets: dict[str, Targets] = {}
        self.autoscalers.on_change(self._autoscaler_changed)
        self.services.on_change(self._owned_changed)
        self.metrics.on_change(self._owned_changed)
        self.deployments.on_change(self._deployment_changed)
        self.pods.on_change(self._pod_changed)

    @property
    def informers(self) -> Mapping[str, Informer[Any]]:
        """Return all informers by kind."""
        return {
            POD_AUTOSCALERS.kind: self.autoscalers,
            SERVERLESS_SERVICES.kind: self.services,
            METRICS.kind: self.metrics,
            DEPLOYMENTS.kind: self.deployments,
            PODS.kind: self.pods,
        }

    def start(self) -> None:
        """Start to watch."""
        for informer in self.informers.values():
            informer.start()

    async def synced(self) -> None:
        """Wait until all kinds were listed once."""
        await asyncio.gather(*(informer.synced() for informer in self.informers.values()))

    async def close(self) -> None:
        """Stop watching."""
        await asyncio.gather(*(informer.close() for informer in self.informers.values()))

    def keys(self) -> Iterator[str]:
        """Return the keys of all PodAutoscalers."""
        return (one.metadata.key for one in self.autoscalers.items())

    def deployment_of(self, autoscaler: PodAutoscaler) -> Deployment | None:
        """Return the Deployment that the PodAutoscaler scales. None: it does not exist, or is not known yet."""
        return self.deployments.get(f"{autoscaler.metadata.namespace}/{autoscaler.spec.scale_target_ref.name}")

    def counts(self, key: str) -> PodCounts:
        """Return the number of a revision's pods by state."""
        counts = self._counts.get(key)
        if counts is None:
            pods = self.pods.indexed(key)
            if not pods:  # not cached: no pod's deletion would remove the entry
                return _NO_PODS
            counts = self._counts[key] = count_pods(pods)
        return counts

    def replicas(self, key: str) -> Replicas | None:
        """Return a revision's replicas. None: its PodAutoscaler or the pods are not known yet."""
        autoscaler = self.autoscalers.get(key)
        if autoscaler is None or not self.pods.has_synced:
            return None
        deployment = self.deployment_of(autoscaler)
        counts = self.counts(key)
        coming = counts.not_ready - counts.terminating
        asked_for = counts.ready + coming if deployment is None else deployment.spec.replicas
        return Replicas(ready=counts.ready, starting=max(0, coming, asked_for - counts.ready), asked_for=asked_for)

    def targets(self, key: str, *, stable_window_s: float, now_s: float) -> Targets:
        """Return a revision's pods that can be scraped: running, ready, not being deleted."""
        targets = self._targets.get(key)
        if targets is None:
            known = self.pods.indexed(key)
            pods = [
                (pod.status.pod_ip, time_s(pod.status.start_time) if pod.status.start_time else now_s)
                for pod in known
                if _can_be_scraped(pod)
            ]
            targets = targets_of(pods, stable_window_s=stable_window_s, now_s=now_s)
            # Up to 3 pods are all scraped, whatever their age. Without a pod, no deletion would remove the entry.
            if known and targets.count <= 3:
                self._targets[key] = targets
        return targets

    def ready_pods(self, key: str) -> dict[str, str]:
        """Return the addresses of the pods that can be scraped, by name."""
        return {pod.metadata.name: pod.status.pod_ip for pod in self.pods.indexed(key) if _can_be_scraped(pod)}

    def _autoscaler_changed(self, key: str, before: PodAutoscaler | None, after: PodAutoscaler | None) -> None:
        self._on_change(key)

    def _owned_changed(self, key: str, before: Any, after: Any) -> None:
        """Report a change of an object that is named like its PodAutoscaler, or scaled by it."""
        namespace, _, name = key.partition("/")
        for owner in _owners(before, after):
            self._on_change(f"{namespace}/{owner or name}")

    def _deployment_changed(self, key: str, before: Deployment | None, after: Deployment | None) -> None:
        if before is None or after is None or before.spec != after.spec:  # its status changes with every pod
            self._owned_changed(key, before, after)

    def _pod_changed(self, key: str, before: Pod | None, after: Pod | None) -> None:
        revisions = {_revision_of(pod) for pod in (before, after) if pod is not None}
        for revision in revisions:
            if revision is not None:
                self._counts.pop(revision, None)
                self._targets.pop(revision, None)
                self._on_change(revision)


def _revision_of(pod: Pod) -> str | None:
    revision = pod.metadata.labels.get(REVISION_LABEL)
    return None if revision is None else f"{pod.metadata.namespace}/{revision}"


def _owners(*objects: Any) -> set[str]:
    """Return the names of the revisions that the objects belong to."""
    there: Iterable[Any] = [one for one in objects if one is not None]
    labels = (one.metadata.labels.get(REVISION_LABEL) for one in there)
    owners = (one.metadata.controller for one in there)
    names = (owner.name if owner is not None else "" for owner in owners)
    return {name for name in itertools.chain(labels, names) if name} or {""}


def _can_be_scraped(pod: Pod) -> bool:
    status = pod.status
    running = status.phase == "Running" and pod.metadata.deletion_timestamp is None
    return running and bool(status.pod_ip) and pod.is_ready
