"""The bounded queue between the server's loop and the handler, where batches form."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from dilu.batching import BatchRule, ExecutionFit, batch_wait_s
from dilu.runtime.jobs import Job

# The rate of arrivals is taken over this many of them.
_RATE_ARRIVALS = 16
# While a batch fills there is no point in waking for each item, only for the one that completes it.
_WAKE_AT_FIRST = 1


class BatchQueue:
    """Jobs in, batches out. `put` is for the server's loop, `take` for worker threads, `poll` for async workers.

    `on_put` (if given) is called after each `put`, outside the lock, so that an async worker can look. `on_drop` gets
    each job that leaves the queue because its client has gone away; it may be called from any thread.
    """

    def __init__(
        self,
        rule: BatchRule,
        *,
        capacity: int,
        on_put: Callable[[], None] | None = None,
        on_drop: Callable[[Job], None] = lambda job: None,
    ) -> None:
        self.rule = rule
        self._full_size = min(rule.max_size, capacity)  # a batch larger than the queue can never fill
        self._on_drop = on_drop
        self.capacity = capacity
        self.fit: ExecutionFit | None = None  # written by the server's loop as it learns
        self._on_put = on_put
        self._jobs: deque[Job] = deque()
        self._arrivals_s: deque[float] = deque(maxlen=_RATE_ARRIVALS)
        self._changed = threading.Condition(threading.Lock())
        self._idle_takers = 0
        self._wake_at = _WAKE_AT_FIRST
        self._closed = False

    def __len__(self) -> int:
        return len(self._jobs)

    def oldest_arrival_s(self) -> float | None:
        """Monotonic arrival time of the job that has waited longest, or None if nobody waits."""
        try:
            return self._jobs[0].arrived_s
        except IndexError:
            return None

    def put(self, job: Job) -> bool:
        """Whether there was room for the job."""
        with self._changed:
            if self._closed or len(self._jobs) >= self.capacity:
                return False
            self._jobs.append(job)
            self._arrivals_s.append(job.arrived_s)
            if self._idle_takers and len(self._jobs) >= self._wake_at:
                self._changed.notify()
        if self._on_put is not None:
            self._on_put()
        return True

    def take(self) -> list[Job]:
        """The next batch, as soon as the rule closes it; empty once the queue is closed and drained."""
        with self._changed:
            while True:
                batch, wait_s = self._close_batch(time.monotonic())
                if batch or (self._closed and not self._jobs):
                    return batch
                self._wake_at = _WAKE_AT_FIRST if wait_s is None else self._full_size
                self._idle_takers += 1
                self._changed.wait(wait_s)
                self._idle_takers -= 1

    def poll(self) -> tuple[list[Job], float | None]:
        """The next batch if the rule closes it now, else after how many seconds to look again (None: at a put)."""
        with self._changed:
            return self._close_batch(time.monotonic())

    def close(self) -> None:
        """Take nothing more in; what waits is still given out, without waiting for fuller batches."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._on_put is not None:
            self._on_put()

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is taken in."""
        return self._closed

    @property
    def is_drained(self) -> bool:
        """Whether the queue is closed and empty."""
        return self._closed and not self._jobs

    def _close_batch(self, now_s: float) -> tuple[list[Job], float | None]:
        jobs = self._jobs
        if not jobs:
            return [], None
        wait_s = 0.0 if self._closed else self._wait_s(now_s)
        if wait_s > 0.0:
            return [], wait_s
        batch: list[Job] = []
        while jobs and len(batch) < self.rule.max_size:
            job = jobs.popleft()
            if job.is_abandoned():
                self._on_drop(job)
            else:
                batch.append(job)
        if jobs and self._idle_takers:
            self._changed.notify()  # another taker may start on what is left
        return batch, None

    def _wait_s(self, now_s: float) -> float:
        queued = len(self._jobs)
        if queued >= self._full_size:
            return 0.0
        return batch_wait_s(
            self.rule,
            queued=queued,
            oldest_wait_s=now_s - self._jobs[0].arrived_s,
            arrival_rps=self._arrival_rps(now_s),
            fit=self.fit,
        )

    def _arrival_rps(self, now_s: float) -> float:
        arrivals = self._arrivals_s
        if len(arrivals) < 2:
            return 0.0
        # Counting up to now, not to the last arrival, lets the rate fall when arrivals stop.
        return (len(arrivals) - 1) / max(now_s - arrivals[0], 1e-9)
