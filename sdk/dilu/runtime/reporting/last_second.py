"""Event counts over the last second, in tenths, for `/v1/stats`."""

from __future__ import annotations

_SLOT_S = 0.1
_SLOTS = 11  # ten complete tenths and the current one


class LastSecond:
    """The number of events in the last second, exact to a tenth. Not thread-safe."""

    __slots__ = ("_counts", "_slot")

    def __init__(self) -> None:
        self._counts = [0] * _SLOTS
        self._slot = 0

    def add(self, now_s: float) -> None:
        """Count one event at `now_s` (monotonic)."""
        slot = int(now_s / _SLOT_S)
        if slot != self._slot:
            self._roll(slot)
        self._counts[slot % _SLOTS] += 1

    def per_second(self, now_s: float) -> float:
        """Return the events in the second that ended with the last complete tenth."""
        slot = int(now_s / _SLOT_S)
        self._roll(slot)
        return float(sum(self._counts) - self._counts[slot % _SLOTS])

    def _roll(self, slot: int) -> None:
        for passed in range(max(self._slot + 1, slot - _SLOTS + 1), slot + 1):
            self._counts[passed % _SLOTS] = 0
        self._slot = max(self._slot, slot)
