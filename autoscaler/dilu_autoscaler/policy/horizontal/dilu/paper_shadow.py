"""What the paper's rule would have done by now: its number, its cold starts, its replica time and the load that it
would have left over, as plain values.

It is the budget of a policy that wants to be no worse than that rule, whatever the load is.
"""

from __future__ import annotations

from typing import NamedTuple

from dilu_autoscaler.policy.horizontal.bounds import Bounds
from dilu_autoscaler.policy.horizontal.dilu_paper import IN_SAMPLES, OUT_SAMPLES, WINDOW_SAMPLES


class PaperShadow(NamedTuple):
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
    capacity_rps: float = 0.0
    """For which the two counts hold."""
    quiet: int = 0
    """How many of the newest samples were quiet."""
    sample: int = 0
    """How many samples there were."""
    due: tuple[int, ...] = ()
    """At which sample each of its replicas that still start will be ready, ascending."""
    unmet: float = 0.0
    """Load that came while its ready replicas could not take it, in replicas x seconds."""


def shadow_after(
    shadow: PaperShadow,
    rps: float,
    capacity_rps: float,
    bounds: Bounds,
    *,
    is_quiet: bool = False,
    cold_start_samples: int = 0,
) -> PaperShadow:
    """Return the shadow after one more second at that rate, with starts of that length."""
    before, history, above, below, starts, replica_s, counted_rps, quiet, sample, due, unmet = shadow
    replicas = before if before == 1 == bounds.min_replicas else _present(before, bounds)
    replica_s += replicas
    sample += 1
    while due and due[0] <= sample:
        due = due[1:]
    left = rps / capacity_rps - max(0, replicas - len(due))
    if left > 0.0:
        unmet += left
    quiet = quiet + 1 if is_quiet else 0
    all_rps, fewer_rps = replicas * capacity_rps, (replicas - 1) * capacity_rps
    if replicas != before or capacity_rps != counted_rps:
        history = history if replicas == before else ()
        above = sum([past > all_rps for past in history])
        below = sum([past < fewer_rps for past in history])
    elif not history:
        above = 0  # those that led to the change do not count for the next one
    if len(history) == WINDOW_SAMPLES:
        above -= history[0] > all_rps
        below -= history[0] < fewer_rps
    history = (*history, rps)[-WINDOW_SAMPLES:]
    above += rps > all_rps
    below += rps < fewer_rps
    wanted = _wanted(replicas, above, below, quiet, bounds, is_quiet=is_quiet)
    if wanted > replicas:
        starts, due = starts + wanted - replicas, (*due, sample + cold_start_samples + 1)
    elif wanted < replicas:
        due = due[:-1]
    if wanted != replicas:
        history, below = (), 0
    return PaperShadow(wanted, history, above, below, starts, replica_s, capacity_rps, quiet, sample, due, unmet)


def rests(shadow: PaperShadow, capacity_rps: float, bounds: Bounds) -> bool:
    """Whether quiet seconds can change nothing but let its last replica go."""
    return (
        shadow.replicas <= 1
        and shadow.above == 0 == shadow.below
        and not shadow.due
        and shadow.capacity_rps == capacity_rps
        and _present(shadow.replicas, bounds) == shadow.replicas
    )


def shadow_at_rest(shadow: PaperShadow, seconds: int, bounds: Bounds) -> PaperShadow:
    """Return the shadow at rest after that many quiet seconds, as `shadow_after` would second by second."""
    replicas, history, above, below, starts, replica_s, capacity_rps, quiet, sample, due, unmet = shadow
    to_zero = max(1, WINDOW_SAMPLES - quiet)
    quiet, sample = quiet + seconds, sample + seconds
    if replicas == 1 and bounds.min_replicas == 0 and seconds >= to_zero:
        replicas, replica_s = 0, replica_s + to_zero
        history = (0.0,) * min(seconds - to_zero, WINDOW_SAMPLES)
    else:
        replica_s += seconds * replicas
        history = (*history, *[0.0] * min(seconds, WINDOW_SAMPLES))[-WINDOW_SAMPLES:]
    return PaperShadow(replicas, history, above, below, starts, replica_s, capacity_rps, quiet, sample, due, unmet)


def _present(replicas: int, bounds: Bounds) -> int:
    return 0 if replicas == 0 and bounds.min_replicas == 0 else max(1, bounds.clamp(replicas))


def _wanted(replicas: int, above: int, below: int, quiet: int, bounds: Bounds, *, is_quiet: bool) -> int:
    if replicas == 0:
        return 0 if is_quiet else 1
    if above >= OUT_SAMPLES:
        return bounds.clamp(replicas + 1)
    if replicas > 1:
        return max(1, bounds.clamp(replicas - 1)) if below >= IN_SAMPLES else replicas
    return 0 if bounds.min_replicas == 0 and quiet >= WINDOW_SAMPLES else 1
