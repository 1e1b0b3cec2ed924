"""What a request costs the replica's own server: the bound on the capacity of a trivial handler."""

from __future__ import annotations

_MIN_REQUESTS = 50  # fewer measure noise rather than cost
_NEWEST_WEIGHT = 0.3


class ServerCost:
    """Processor time of the server's thread per request, learned from two counters. Not thread-safe.

    Without it a handler that takes a microsecond would count for a million requests a second.
    """

    def __init__(self, thread_s: float) -> None:
        """Start from `thread_s`, the processor time that the thread has used before any request."""
        self._requests = 0
        self._thread_s = thread_s
        self._request_s: float | None = None

    def update(self, requests: int, thread_s: float) -> None:
        """Learn from both totals so far: requests that came, and processor seconds of the server's thread."""
        came = requests - self._requests
        if came < _MIN_REQUESTS:
            return
        newest_s = (thread_s - self._thread_s) / came
        known_s = newest_s if self._request_s is None else self._request_s
        self._request_s = known_s + _NEWEST_WEIGHT * (newest_s - known_s)
        self._requests, self._thread_s = requests, thread_s

    @property
    def limit_rps(self) -> float | None:
        """Requests per second at which the server's thread is always busy; None if not learned yet."""
        return 1.0 / self._request_s if self._request_s else None
