"""Events in the order of time; those of one moment in a fixed order."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from enum import IntEnum
from typing import Final

US_PER_S: Final = 1_000_000


class Order(IntEnum):
    """Which of several events of one moment comes first; within one kind, the one that was scheduled first."""

    READY = 0  # a replica has come up, so it can take what arrives now
    FINISHED = 1  # a batch is done, so its replica is free for what arrives now
    GRANTED = 2  # shares of a GPU are decided again
    ARRIVED = 3
    CLOSED = 4  # an open batch has waited long enough; what arrived now is in it
    TICKED = 5  # the scale loop sees all that happened


Action = Callable[[], None]


class EventQueue:
    """The schedule of one simulation and its clock."""

    def __init__(self) -> None:
        self.now_us = 0
        self._heap: list[tuple[int, int, int, Action]] = []
        self._scheduled = 0

    def at(self, time_us: int, order: Order, action: Action) -> None:
        """Schedule an action; the time must not be before now."""
        if time_us < self.now_us:
            raise ValueError(f"event at {time_us} µs, must not be before now, {self.now_us} µs")
        self._scheduled += 1
        heapq.heappush(self._heap, (time_us, order, self._scheduled, action))

    def run_until(self, until_us: int) -> None:
        """Run every event up to and including that time."""
        heap, pop = self._heap, heapq.heappop
        while heap and heap[0][0] <= until_us:
            self.now_us, _, _, action = pop(heap)
            action()
        self.now_us = max(self.now_us, until_us)

    def run_next(self) -> bool:
        """Return the next event, if there is one."""
        if not self._heap:
            return False
        self.now_us, _, _, action = heapq.heappop(self._heap)
        action()
        return True
