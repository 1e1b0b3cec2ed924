"""What Knative asks of a revision's way from zero, where a co-scaling policy decides: KPA knows it of itself. Pure."""

from __future__ import annotations

from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.deciding.loads import WatchedRevision
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.policy.horizontal.kpa.state import Averages


def activated(watched: WatchedRevision, settings: RevisionSettings, tick: Tick) -> int | None:
    """The number decided; from zero the activation scale at least, until so many were ready at once."""
    replicas, seen = tick.decision.replicas, tick.seen
    if not watched.co_scales or replicas is None or seen is None:
        return replicas
    least = watched.kpa.activation_scale
    if settings.most:
        least = min(least, settings.most)
    watched.activates = replicas > 0 and seen.ready < least and (watched.activates or seen.desired == 0)
    return max(replicas, least) if watched.activates else replicas


def is_for_nobody(watched: WatchedRevision, tick: Tick, averages: Averages | None) -> bool:
    """Whether the first replica is still starting, and nobody has asked for it for a stable window.

    Without averages nothing was heard. Only activators could say something, and they say nothing where nobody asks.
    """
    seen = tick.seen
    if seen is None:
        return watched.for_nobody
    if not watched.co_scales or not seen.is_coming_up or seen.waiting:
        return False
    return averages is None or averages.stable == 0


def is_given_up(tick: Tick) -> bool:
    """Whether there is no replica any more, and nobody who waits for one."""
    seen = tick.seen
    return seen is not None and seen.ready == seen.starting == seen.waiting == 0
