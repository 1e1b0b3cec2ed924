"""What the paper's rule would have done by now: its number, its cold starts and its replica time, as plain values.

It is the budget of a policy that wants to be no dearer than that rule, whatever the load is.
"""

from __future__ import annotations

from dataclasses import dataclass

from dilu_autoscaler.policy.bounds import Bounds
from dilu_autoscaler.policy.dilu_paper import IN_SAMPLES, OUT_SAMPLES, WINDOW_SAMPLES


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperShadow:
    """The paper's rule after the samples so far."""

    replicas: int
    history_rps: tuple[float, ...] = ()
    """Since its last change, at most WINDOW_SAMPLES."""
    above: int = 0
    """How many of them, with those that led to a change just now, were above what its replicas took."""
    below: int = 0
    """How many of the history are below what one replica fewer takes."""
    starts: int = 0
    replica_s: int = 0


def shadow_after(shadow: PaperShadow, rps: float, capacity_rps: float, bounds: Bounds) -> PaperShadow:
    """The shadow after one more second at that rate. The paper's rule never goes to zero, nor does its shadow."""
    replicas, starts = max(1, bounds.clamp(shadow.replicas)), shadow.starts
    replica_s = shadow.replica_s + replicas
    kept = shadow.history_rps if replicas == shadow.replicas else ()
    history = (*kept, rps)[-WINDOW_SAMPLES:]
    all_rps, fewer_rps = replicas * capacity_rps, (replicas - 1) * capacity_rps
    above = sum([past > all_rps for past in history])
    below = sum([past < fewer_rps for past in history])
    wanted = replicas
    if above >= OUT_SAMPLES:
        wanted = bounds.clamp(replicas + 1)
    elif replicas > 1 and below >= IN_SAMPLES:
        wanted = max(1, bounds.clamp(replicas - 1))
    if wanted != replicas:
        history, below, starts = (), 0, starts + max(0, wanted - replicas)
    return PaperShadow(
        replicas=wanted, history_rps=history, above=above, below=below, starts=starts, replica_s=replica_s
    )
