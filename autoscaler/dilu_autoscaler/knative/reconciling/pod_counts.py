"""How many pods a revision has, by their state, as Knative counts them. Source: the Knative contract, §2.3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dilu_autoscaler.knative.kube.objects import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounts:
    """One revision's pods. Those that have ended, or have no status yet, are not among them."""

    ready: int = 0
    not_ready: int = 0
    """Pending and terminating ones included."""
    pending: int = 0
    terminating: int = 0
    """Without those that still are pending."""


def count_pods(pods: Iterable[Pod]) -> PodCounts:
    """The pods of one revision, counted."""
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
