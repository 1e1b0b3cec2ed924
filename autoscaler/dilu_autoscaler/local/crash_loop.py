"""Replicas that end soon after their start: how many rounds in a row, and how long the next start waits."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 30.0
SETTLED_S = 10.0
"""A replica that was ready for so long did not fail to start: its death begins a new count."""


def backoff_s(failures: int, *, was_ready: bool) -> float:
    """How long to wait before the next start, after so many early ends in a row (this one included).

    One that was ready served for a moment: its first successor starts at once.

    >>> [backoff_s(n, was_ready=False) for n in (1, 2, 3, 6)], backoff_s(1, was_ready=True)
    ([1.0, 2.0, 4.0, 30.0], 0.0)
    """
    counted = failures - 1 if was_ready else failures
    if counted <= 0:
        return 0.0
    return float(min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(counted - 1, 10)))


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyEnd:
    """What the end of one replica means for the next start."""

    wait_s: float
    is_first: bool  # of a row


class EarlyEnds:
    """The early ends in a row of one function's replicas.

    Replicas that were started together fail together. That is one round, and counts once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._counted_at_s = -math.inf
        self._retry_at_s = -math.inf
        self._last_backoff_s = 0.0

    def add(self, *, started_s: float, ready_s: float | None, ended_s: float) -> EarlyEnd:
        """One more end, of a replica that became ready at `ready_s` (None: never)."""
        if self.count and started_s < self._counted_at_s:
            return EarlyEnd(wait_s=self.wait_s(ended_s), is_first=False)
        if ready_s is not None and ended_s - ready_s >= SETTLED_S:
            self.count = 0
        self.count += 1
        self._counted_at_s = ended_s
        self._last_backoff_s = backoff_s(self.count, was_ready=ready_s is not None)
        self._retry_at_s = max(self._retry_at_s, ended_s + self._last_backoff_s)
        return EarlyEnd(wait_s=self.wait_s(ended_s), is_first=self.count == 1)

    @property
    def is_backing_off(self) -> bool:
        """Whether starts fail: the last one that was counted made the next one wait, and none has settled since."""
        return self.count > 0 and self._last_backoff_s > 0.0

    def wait_s(self, now_s: float) -> float:
        """Seconds until the next start may be tried."""
        return max(0.0, self._retry_at_s - now_s)

    def settled(self) -> None:
        """A replica has been ready for `SETTLED_S`: what fails from now on begins a new count."""
        self.count = 0

    def forgive(self) -> None:
        """Begin anew: the code is another one."""
        self.count = 0
        self._retry_at_s = -math.inf
