"""What a request costs the replica's own server, so that a trivial handler does not promise the impossible."""

from __future__ import annotations

_LEAST_REQUESTS = 50  # fewer say more about chance than about cost
_NEWEST_WEIGHT = 0.3


class ServerCost:
    """Processor time of the server's thread per request, learned from looks at it; not thread-safe.

    A handler that takes a microsecond would otherwise count for a million requests a second.
    """

    def __init__(self, thread_s: float) -> None:
        """`thread_s` is what the thread has computed already, before any request."""
        self._requests = 0
        self._thread_s = thread_s
        self._request_s: float | None = None

    def look(self, requests: int, thread_s: float) -> None:
        """Learn from both counts so far: requests answered, and seconds that the server's thread computed."""
        came = requests - self._requests
        if came < _LEAST_REQUESTS:
            return
        newest_s = (thread_s - self._thread_s) / came
        known_s = newest_s if self._request_s is None else self._request_s
        self._request_s = known_s + _NEWEST_WEIGHT * (newest_s - known_s)
        self._requests, self._thread_s = requests, thread_s

    @property
    def limit_rps(self) -> float | None:
        """Requests per second at which the server's thread alone is busy all the time; None: not learned yet."""
        return 1.0 / self._request_s if self._request_s else None
