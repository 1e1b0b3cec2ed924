"""Replicas that end soon after their start: how many times in a row, and how long the next start waits."""

from __future__ import annotations

import math
from dataclasses import dataclass

FIRST_BACKOFF_S = 1.0
MAX_BACKOFF_S = 30.0
SETTLED_S = 10.0
"""A replica that was ready for this time did start: its end begins a new count."""


def backoff_s(failures: int, *, was_ready: bool) -> float:
    """Return the wait before the next start, after `failures` early ends in a row, the last one included.

    A replica that was ready served for a moment: its first successor starts at once.

    >>> [backoff_s(n, was_ready=False) for n in (1, 2, 3, 6)], backoff_s(1, was_ready=True)
    ([1.0, 2.0, 4.0, 30.0], 0.0)
    """
    counted = failures - 1 if was_ready else failures
    if counted <= 0:
        return 0.0
    return float(min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(counted - 1, 10)))


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStart:
    """What the end of a replica means for the next start."""

    wait_s: float
    is_first: bool  # of a row


class CrashLoop:
    """The early ends in a row of one function's replicas.

    Replicas that were started together fail together; that counts once.
    """

    def __init__(self) -> None:
        self.count = 0
        self._counted_at_s = -math.inf
        self._retry_at_s = -math.inf
        self._last_backoff_s = 0.0

    def add(self, *, started_s: float, ready_s: float | None, ended_s: float) -> NextStart:
        """Count the end of a replica that became ready at `ready_s` (None: never)."""
        if self.count and started_s < self._counted_at_s:
            return NextStart(wait_s=self.wait_s(ended_s), is_first=False)
        if ready_s is not None and ended_s - ready_s >= SETTLED_S:
            self.count = 0
        self.count += 1
        self._counted_at_s = ended_s
        self._last_backoff_s = backoff_s(self.count, was_ready=ready_s is not None)
        self._retry_at_s = max(self._retry_at_s, ended_s + self._last_backoff_s)
        return NextStart(wait_s=self.wait_s(ended_s), is_first=self.count == 1)

    @property
    def is_backing_off(self) -> bool:
        """Whether starts fail: the last counted end made the next start wait, and no replica has settled since."""
        return self.count > 0 and self._last_backoff_s > 0.0

    def wait_s(self, now_s: float) -> float:
        """Return the seconds until the next start may be tried."""
        return max(0.0, self._retry_at_s - now_s)

    def settled(self) -> None:
        """Begin a new count: a replica has been ready for `SETTLED_S`."""
        self.count = 0

    def reset(self) -> None:
        """Begin a new count, and let the next start be tried at once: the code has changed."""
        self.count = 0
        self._retry_at_s = -math.inf
