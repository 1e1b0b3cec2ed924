"""A queue of keys to handle: at once or later, again after a failure, never twice in the queue or at the same time.

| a key that is added … | then                                                    |
|-----------------------|---------------------------------------------------------|
| is not in the queue   | queues behind those that were added before              |
| is in the queue       | is handled once, not twice                              |
| is being handled      | is handled once more afterwards                         |
| is due later          | queues now, and again at that time                      |
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from dilu_kube.errors import Conflict, KubeError, NotFound

log = logging.getLogger(__name__)

_MIN_RETRY_S: Final = 0.005
_MAX_RETRY_S: Final = 60.0


def retry_s(failures: int) -> float:
    """Return the pause after a number of failures in a row.

    >>> [retry_s(failures) for failures in (1, 2, 3, 20)]
    [0.005, 0.01, 0.02, 60.0]
    """
    return min(_MAX_RETRY_S, _MIN_RETRY_S * 2.0 ** min(failures - 1, 30))


class WorkQueue:
    """Handles keys, at most `workers` at the same time, and each key once at a time. For one event loop."""

    def __init__(self, handle: Callable[[str], Awaitable[None]], *, workers: int = 8) -> None:
        self._handle = handle
        self._workers = workers
        self._ready: deque[str] = deque()
        self._waiting: set[str] = set()  # in the queue, or added while being handled
        self._running: dict[str, asyncio.Task[None]] = {}
        self._later: list[tuple[float, int, str]] = []
        self._due_s: dict[str, float] = {}  # entries of the heap with other times are stale
        self._numbers = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = float("inf")
        self._failures: dict[str, int] = {}
        self._started = False

    def __len__(self) -> int:
        """Return the number of keys that wait for a worker, without those that are due later."""
        return len(self._waiting)

    @property
    def delayed(self) -> int:
        """Return the number of keys that are due later."""
        return len(self._due_s)

    def add(self, key: str) -> None:
        """Queue a key."""
        if key in self._waiting:
            return
        self._waiting.add(key)
        if key not in self._running:
            self._ready.append(key)
            self._begin()

    def add_after(self, key: str, seconds: float) -> None:
        """Queue a key after some seconds; the earliest of several times counts."""
        if seconds <= 0:
            self.add(key)
            return
        due_s = asyncio.get_running_loop().time() + seconds
        if due_s < self._due_s.get(key, float("inf")):
            self._due_s[key] = due_s
            heapq.heappush(self._later, (due_s, next(self._numbers), key))
            self._set_timer()

    def start(self) -> None:
        """Start to handle keys, also those that were added before."""
        self._started = True
        self._set_timer()
        self._begin()

    async def close(self, grace_s: float = 5.0) -> None:
        """Start no more handling, and cancel what has not ended after `grace_s`."""
        self._started = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_s = float("inf")
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    def _begin(self) -> None:
        while self._started and self._ready and len(self._running) < self._workers:
            key = self._ready.popleft()
            self._waiting.discard(key)
            self._running[key] = asyncio.create_task(self._run(key), name=f"handle {key}")

    async def _run(self, key: str) -> None:
        try:
            await self._handle(key)
        except Exception as error:
            self._failed(key, error)
        else:
            self._failures.pop(key, None)
        finally:
            del self._running[key]
            if key in self._waiting:
                self._ready.append(key)
            self._begin()

    def _failed(self, key: str, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause_s = retry_s(failures)
        if isinstance(error, KubeError):
            pause_s = min(_MAX_RETRY_S, max(pause_s, error.retry_after_s))
        self.add_after(key, pause_s)
        _log_failure(key, error, failures, pause_s)

    def _set_timer(self) -> None:
        while self._later and self._due_s.get(self._later[0][2]) != self._later[0][0]:
            heapq.heappop(self._later)
        if not self._started or not self._later or self._later[0][0] >= self._timer_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = self._later[0][0]
        self._timer = asyncio.get_running_loop().call_at(self._timer_s, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # Not the clock's time: a loop may call a timer early by up to its clock's resolution.
        due_s, self._timer_s = self._timer_s, float("inf")
        while self._later and self._later[0][0] <= due_s:
            at_s, _, key = heapq.heappop(self._later)
            if self._due_s.get(key) == at_s:
                del self._due_s[key]
                self.add(key)
        self._set_timer()


def _log_failure(key: str, error: Exception, failures: int, pause_s: float) -> None:
    if not isinstance(error, KubeError):
        log.error("%s failed (%d in a row), retry in %g s: %r", key, failures, pause_s, error, exc_info=error)
    elif isinstance(error, Conflict) or (isinstance(error, NotFound) and failures == 1) or failures & (failures - 1):
        # A lost race or a deletion, both usual; or a repeated failure, logged at the 1st, 2nd, 4th, 8th … in a row.
        log.debug("%s: %s; retry in %g s", key, error, pause_s)
    else:
        log.warning("%s: %s (%d in a row), retry in %g s", key, error, failures, pause_s)
