"""What the supervisor does next: a pure rule over the replicas that live, the number wanted, and the generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Living:
    """One replica that starts or is ready, as far as the rule looks at it."""

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


def next_changes(living: Sequence[Living], *, desired: int, generation: int, replaces: bool) -> RolloutChanges:
    """The next step towards `desired` replicas, all of `generation` where it `replaces` older ones.

    Older ones are replaced one by one: a new one is started beside them, and one of them stops when it is ready.
    """
    surplus = len(living) - desired
    if surplus < 0:
        return RolloutChanges(start=-surplus)
    old = [one for one in living if one.generation != generation]
    if not old or not replaces or desired == 0:
        return RolloutChanges(stop=_victims(living, surplus, generation))
    successors = [one for one in living if one.generation == generation and not one.is_ready]
    if surplus == 0 and not successors:
        return RolloutChanges(start=1)
    # While a successor starts, it is one more than desired; the others make room only beyond that.
    allowed = 1 if successors else 0
    return RolloutChanges(
        stop=_victims([one for one in living if one not in successors], surplus - allowed, generation)
    )


def _victims(living: Sequence[Living], count: int, generation: int) -> tuple[str, ...]:
    """Those that cost least: of an older generation, not ready yet, with the least in flight, the youngest."""
    order = sorted(living, key=lambda one: (one.generation == generation, one.is_ready, one.in_flight, one.age_s))
    return tuple(one.id for one in order[: max(0, count)])
