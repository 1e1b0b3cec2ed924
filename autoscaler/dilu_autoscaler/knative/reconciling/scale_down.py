"""Which pods are to go when a revision gets fewer: those with the least work in flight.

Kubernetes deletes pods that are not ready first, then those of the lowest `pod-deletion-cost`, and among equals the
youngest. So whoever is to go gets a cost from -1000 (idle) to -99 (load not known); a pod without the annotation has 0.
A pod that had been chosen once and stays after all gets its 0 back.

Somebody else's costs are left as they are, and hold: below -1000 a pod goes first, with any other it goes last.
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

COST_ANNOTATION: Final = "controller.kubernetes.io/pod-deletion-cost"
MOST_WRITES: Final = 32
_IDLE: Final = -1000
_MOST_COUNTED: Final = 900  # in flight; from here on a pod is just busy
_UNKNOWN: Final = _MOST_COUNTED + 1  # nobody knows what its deletion would break
_STAYS: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PodLoad:
    """One pod, as it is now. Pods that are stopping already are not among them."""

    name: str
    ready: bool
    in_flight: int | None  # None: not known, which is taken for busy
    started_s: float
    cost: str | None = None  # the annotation as it is; None: it has none


@dataclass(frozen=True, slots=True, kw_only=True)
class CostWrite:
    """One pod's annotation as it should be."""

    pod: str
    cost: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Victims:
    """Who is to go, and what has to be written so that they do."""

    names: tuple[str, ...] = ()  # of ready pods, the first to go first
    writes: tuple[CostWrite, ...] = ()
    left_out: int = 0  # writes that would have been too many


def choose_victims(pods: Sequence[PodLoad], going: int, *, most_writes: int = MOST_WRITES) -> Victims:
    """The pods that should go when `going` of them are to; the order of `pods` does not matter.

    Nobody is chosen where no pod's load is known: Kubernetes then does as it would without us.
    """
    ready = sorted((pod for pod in pods if pod.ready), key=_first_to_go)
    going_ready = going - (len(pods) - len(ready))  # those that are not ready go anyway
    if not 0 < going_ready < len(ready) or all(pod.in_flight is None for pod in ready):
        return Victims()
    victims, staying = ready[:going_ready], ready[going_ready:]
    # First what saves a pod: one that was marked before would go in the place of one that is marked now.
    wanted = [(pod, _STAYS) for pod in staying] + [(pod, _cost(pod)) for pod in victims]
    writes = [
        CostWrite(pod=pod.name, cost=str(cost))
        for pod, cost in wanted
        if _cost_now(pod) != cost and not _is_foreign(pod)
    ]
    most = max(0, most_writes)
    return Victims(
        names=tuple(pod.name for pod in victims), writes=tuple(writes[:most]), left_out=max(0, len(writes) - most)
    )


def cost_patch(cost: str) -> dict[str, Any]:
    """The merge patch that gives a pod its cost."""
    return {"metadata": {"annotations": {COST_ANNOTATION: cost}}}


def _first_to_go(pod: PodLoad) -> tuple[int, int, float, str]:
    cost_now = _cost_now(pod)
    if _is_foreign(pod):
        return (0 if cost_now < _IDLE else 2), cost_now, -pod.started_s, pod.name
    return 1, _cost(pod), -pod.started_s, pod.name


def _is_foreign(pod: PodLoad) -> bool:
    """Whether somebody else gave the pod its cost."""
    cost_now = _cost_now(pod)
    return cost_now != _STAYS and not _IDLE <= cost_now <= _IDLE + _UNKNOWN


def _cost(pod: PodLoad) -> int:
    """The cost of a pod that is to go: below 0 for any load."""
    if pod.in_flight is None:
        return _IDLE + _UNKNOWN
    return _IDLE + min(max(0, pod.in_flight), _MOST_COUNTED)


def _cost_now(pod: PodLoad) -> int:
    """As Kubernetes reads it: what is no number of 32 bits counts as none at all."""
    try:
        cost = int(pod.cost or "0")
    except ValueError:
        return 0
    return cost if -(2**31) <= cost < 2**31 else 0


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
