"""Chooses the pods that stop when a revision scales down, those with the least work in flight, and marks them.

Kubernetes deletes pods that are not ready first, then those with the lowest `pod-deletion-cost`, and among equals the
youngest. So a chosen pod gets a cost from -1000 (idle) to -99 (load not known); a pod without the annotation has 0. A
pod that was chosen before and now stays gets 0 again.

Costs written by other programs are kept and respected: a pod below -1000 stops first, with any other cost last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dilu_autoscaler.knative.reconciling.cluster_view import ClusterView
from dilu_autoscaler.knative.reconciling.conditions import time_s
from dilu_autoscaler.knative.scraping.runtime_stats import RuntimeStats
from dilu_kube.client import MERGE_PATCH, KubeClient, KubeError
from dilu_kube.objects import Pod
from dilu_kube.resources import PODS

MARK_WITHIN_S: Final = 1.0
"""Scaling down waits no longer for the marks; without them Kubernetes deletes the youngest pods."""
COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
MAX_WRITES: Final = 32
_IDLE: Final = -1000
_MAX_COUNTED: Final = 900  # requests in flight; a pod with more is equally busy
_UNKNOWN: Final = _MAX_COUNTED + 1  # above any known load
_STAYS: Final = 0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLoad:
    """One pod as it is now. Terminating pods are not included."""

    name: str
    ready: bool
    in_flight: int | None  # None: not known, which counts as busy
    started_s: float
    cost: str | None = None  # the annotation; None: it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class CostWrite:
    """The annotation that one pod should have."""

    pod: str
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Victims:
    """The pods that should stop, and the annotations to write for it."""

    names: tuple[str, ...] = ()  # of ready pods, in the order of deletion
    writes: tuple[CostWrite, ...] = ()
    left_out: int = 0  # writes beyond the limit


def choose_victims(pods: Sequence[PodLoad], going: int, *, max_writes: int = MAX_WRITES) -> Victims:
    """Choose the pods that should stop when `going` pods stop; the order of `pods` does not matter.

    None is chosen if no pod's load is known: Kubernetes then decides by its own rules.
    """
    ready = sorted((pod for pod in pods if pod.ready), key=_first_to_go)
    going_ready = going - (len(pods) - len(ready))  # pods that are not ready are deleted first anyway
    if not 0 < going_ready < len(ready) or all(pod.in_flight is None for pod in ready):
        return Victims()
    victims, staying = ready[:going_ready], ready[going_ready:]
    # Staying pods first: one that is still marked would be deleted in the place of a chosen one.
    wanted = [(pod, _STAYS) for pod in staying] + [(pod, _cost(pod)) for pod in victims]
    writes = [
        CostWrite(pod=pod.name, cost=str(cost))
        for pod, cost in wanted
        if _cost_now(pod) != cost and not _is_foreign(pod)
    ]
    count = max(0, max_writes)
    return Victims(
        names=tuple(pod.name for pod in victims), writes=tuple(writes[:count]), left_out=max(0, len(writes) - count)
    )


def cost_patch(cost: str) -> dict[str, Any]:
    """Return the merge patch that sets a pod's cost."""
    return {"metadata": {"annotations": {COST_ANNOTATION: cost}}}


def _first_to_go(pod: PodLoad) -> tuple[int, int, float, str]:
    cost_now = _cost_now(pod)
    if _is_foreign(pod):
        return (0 if cost_now < _IDLE else 2), cost_now, -pod.started_s, pod.name
    return 1, _cost(pod), -pod.started_s, pod.name


def _is_foreign(pod: PodLoad) -> bool:
    """Return whether another program set the pod's cost."""
    cost_now = _cost_now(pod)
    return cost_now != _STAYS and not _IDLE <= cost_now <= _IDLE + _UNKNOWN


def _cost(pod: PodLoad) -> int:
    """Return the cost of a chosen pod: below 0 for any load."""
    if pod.in_flight is None:
        return _IDLE + _UNKNOWN
    return _IDLE + min(max(0, pod.in_flight), _MAX_COUNTED)


def _cost_now(pod: PodLoad) -> int:
    """Return the cost as Kubernetes reads it: 0 for anything but a number of 32 bits."""
    try:
        cost = int(pod.cost or "0")
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


class Shrinking:
    """Marks the pods that should stop."""

    def __init__(self, client: KubeClient, view: ClusterView, runtimes: RuntimeStats) -> None:
        self._client = client
        self._view = view
        self._runtimes = runtimes

    async def prepare(self, key: str, going: int) -> None:
        """Set the deletion costs of a revision's pods before `going` of them stop. A failure is only logged."""
        stats = self._runtimes.of(key, time.time())
        in_flight = {} if stats is None else stats.in_flight
        pods = [_load_of(pod, in_flight.get(pod.metadata.name)) for pod in self._view.pods.indexed(key) if _counts(pod)]
        namespace = key.partition("/")[0]
        try:
            async with asyncio.timeout(MARK_WITHIN_S):
                chosen = choose_victims(pods, going)
                await asyncio.gather(*(self._mark(namespace, write) for write in chosen.writes))
        except (KubeError, TimeoutError) as error:
            _log.warning(
                "%s: pods were not marked before scaling down, Kubernetes chooses: %s",
                key,
                str(error) or "no answer in time",
            )

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
