"""Which replicas to start and stop next: a pure rule over those that run, the desired number and the generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningReplica:
    """What the rule uses of a replica that is starting or ready."""

    id: str
    is_ready: bool
    generation: int
    in_flight: int
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutChanges:
    """How many replicas to start, and which ones to stop."""

    start: int = 0
    stop: tuple[str, ...] = ()


def next_changes(running: Sequence[RunningReplica], *, desired: int, generation: int, replaces: bool) -> RolloutChanges:
    """Return the next step towards `desired` replicas, all of `generation` if it `replaces` older ones.

    Older ones are replaced one by one: a new one is started beside them, and when it is ready one of them is stopped.
    """
    surplus = len(running) - desired
    if surplus < 0:
        return RolloutChanges(start=-surplus)
    old = [one for one in running if one.generation != generation]
    if not old or not replaces or desired == 0:
        return RolloutChanges(stop=_victims(running, surplus, generation))
    successors = [one for one in running if one.generation == generation and not one.is_ready]
    if surplus == 0 and not successors:
        return RolloutChanges(start=1)
    # While a successor starts, one more than desired may run.
    allowed = 1 if successors else 0
    return RolloutChanges(
        stop=_victims([one for one in running if one not in successors], surplus - allowed, generation)
    )


def _victims(running: Sequence[RunningReplica], count: int, generation: int) -> tuple[str, ...]:
    """Choose those that cost least: of an older generation, not ready, with the fewest in flight, the youngest."""
    order = sorted(running, key=lambda one: (one.generation == generation, one.is_ready, one.in_flight, one.age_s))
    return tuple(one.id for one in order[: max(0, count)])
