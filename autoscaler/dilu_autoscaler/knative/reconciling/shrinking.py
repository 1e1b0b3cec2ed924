"""Before a revision gets fewer replicas: its pods are told apart by the work in flight, so that idle ones go first."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from dilu_autoscaler.knative.kube.client import MERGE_PATCH, KubeClient, KubeError
from dilu_autoscaler.knative.kube.objects import Pod
from dilu_autoscaler.knative.kube.resources import PODS
from dilu_autoscaler.knative.reconciling.cluster_view import ClusterView
from dilu_autoscaler.knative.reconciling.conditions import time_s
from dilu_autoscaler.knative.reconciling.victims import COST_ANNOTATION, CostWrite, PodLoad, choose_victims, cost_patch
from dilu_autoscaler.knative.scraping.runtime_stats import RuntimeStats

WITHIN_S: Final = 1.0
"""Choosing well is not worth a longer wait: without the annotations Kubernetes takes the youngest."""
_log = logging.getLogger(__name__)


class Shrinking:
    """Marks the pods that are to go."""

    def __init__(self, client: KubeClient, view: ClusterView, runtimes: RuntimeStats) -> None:
        self._client = client
        self._view = view
        self._runtimes = runtimes

    async def prepare(self, key: str, going: int) -> None:
        """Give the pods of a revision their deletion costs; what fails is said and changes nothing else."""
        stats = self._runtimes.of(key, time.time())
        in_flight = {} if stats is None else stats.in_flight
        pods = [_load_of(pod, in_flight.get(pod.metadata.name)) for pod in self._view.pods.indexed(key) if _counts(pod)]
        namespace = key.partition("/")[0]
        try:
            async with asyncio.timeout(WITHIN_S):
                chosen = choose_victims(pods, going)
                await asyncio.gather(*(self._mark(namespace, write) for write in chosen.writes))
        except (KubeError, TimeoutError) as error:
            _log.warning("%s: the pods to go were not chosen: %s", key, str(error) or "no answer in time")

    async def _mark(self, namespace: str, write: CostWrite) -> None:
        await self._client.patch(PODS, namespace, write.pod, cost_patch(write.cost), content_type=MERGE_PATCH)


def _counts(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and pod.status.phase in ("Pending", "Running")


def _load_of(pod: Pod, in_flight: int | None) -> PodLoad:
    started = pod.status.start_time
    return PodLoad(
        name=pod.metadata.name,
        ready=pod.is_ready,
        in_flight=in_flight,
        started_s=time_s(started) if started else time.time(),
        cost=pod.metadata.annotations.get(COST_ANNOTATION),
    )
