"""The bounded queue between the server's loop and the handler, where batches form."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum

from dilu.answer_prediction import RunningBatch
from dilu.batching import BatchRule, ExecutionFit, batch_wait_s
from dilu.runtime.execution.jobs import Job

# The rate of arrivals is measured over this number of arrivals.
_RATE_ARRIVALS = 16
# Waiting items at which a worker is woken. While a batch fills, only the item that completes it needs to wake one.
_WAKE_AT_FIRST = 1


class Dropped(StrEnum):
    """Why a job left the queue without having run."""

    ABANDONED = "abandoned"  # its client has disconnected
    EXPIRED = "expired"  # its deadline has passed
    DISPLACED = "displaced"  # a more urgent one took its place


class BatchQueue:
    """A bounded queue of jobs that hands out batches.

    `put` is for the server's loop, `take` for worker threads, `poll` for async workers. More urgent jobs go first,
    equally urgent ones in the order of arrival. `on_put` (if given) is called after each `put`, outside the lock, to
    wake an async worker. `on_drop` gets each job that leaves the queue without having run; it may be called from any
    thread. A batch that was taken counts as running until `finished` is called.
    """

    def __init__(
        self,
        rule: BatchRule,
        *,
        capacity: int,
        on_put: Callable[[], None] | None = None,
        on_drop: Callable[[Job, Dropped], None] = lambda job, why: None,
    ) -> None:
        self.rule = rule
        self._on_drop = on_drop
        self.capacity = capacity
        self.fit = None
        self._on_put = on_put
        self._lanes: dict[int, deque[Job]] = {}  # by urgency, in that order; only those that were ever needed
        self._waiting = 0
        self._running: dict[int, RunningBatch] = {}
        self._arrivals_s: deque[float] = deque(maxlen=_RATE_ARRIVALS)
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._idle_takers = 0
        self._wake_at = _WAKE_AT_FIRST
        self._closed = False

    def __len__(self) -> int:
        return self._waiting

    @property
    def fit(self) -> ExecutionFit | None:
        """The learned execution time, or None before the first batch; the server's loop sets it."""
        return self._fit

    @fit.setter
    def fit(self, fit: ExecutionFit | None) -> None:
        self._fit = fit
        self._size = self.rule.size_for(fit)
        # Items at which waiting is over. A batch larger than the queue could never fill.
        self._full_size = min(self._size, self.capacity)

    def oldest_arrival_s(self) -> float | None:
        """Return the monotonic arrival time of the job that has waited longest, or None if no job waits."""
        oldest_s: float | None = None
        for lane in self._lanes.values():
            try:
                arrived_s = lane[0].arrived_s if lane else None
            except IndexError:  # a worker took it just now
                continue
            if arrived_s is not None and (oldest_s is None or arrived_s < oldest_s):
                oldest_s = arrived_s
        return oldest_s

    def ahead_of(self, urgency: int) -> int:
        """Return the number of jobs that would run before a job of this urgency that came now."""
        ahead = 0
        for lane_urgency, lane in self._lanes.items():
            if lane_urgency <= urgency:
                ahead += len(lane)
        return ahead

    def running(self) -> list[RunningBatch]:
        """Return the batches that run now."""
        return list(self._running.values())  # in one step, so without the lock

    def arrival_rps(self, now_s: float) -> float:
        """Return the recent rate of admitted jobs."""
        arrivals = self._arrivals_s
        if len(arrivals) < 2:
            return 0.0
        # Counting up to now, not to the last arrival, lets the rate fall when arrivals stop.
        return (len(arrivals) - 1) / max(now_s - arrivals[0], 1e-9)

    def put(self, jobs: Sequence[Job]) -> bool:
        """Add the jobs, which are equally urgent, if there is room for all; less urgent ones make room if need be.

        Return whether they were added.
        """
        urgency, count = jobs[0].urgency, len(jobs)
        with self._lock:
            missing = self._waiting + count - self.capacity
            if self._closed or (missing > 0 and not self._displace(missing, urgency)):
                return False
            lane = self._lanes.get(urgency)
            (self._new_lane(urgency) if lane is None else lane).extend(jobs)
            self._waiting += count
            for job in jobs:
                self._arrivals_s.append(job.arrived_s)
            if self._idle_takers and self._waiting >= self._wake_at:
                self._changed.notify()
        if self._on_put is not None:
            self._on_put()
        return True

    def take(self) -> list[Job]:
        """Wait for the next batch, which the rule closes. Return [] once the queue is closed and drained."""
        with self._lock:
            while True:
                batch, wait_s = self._close_batch(time.monotonic())
                if batch or (self._closed and not self._waiting):
                    return batch
                self._wake_at = _WAKE_AT_FIRST if wait_s is None else self._full_size
                self._idle_takers += 1
                self._changed.wait(wait_s)
                self._idle_takers -= 1

    def finished(self, batch: list[Job]) -> None:
        """Record that a batch from `take` or `poll` runs no more."""
        self._running.pop(id(batch), None)  # in one step, so without the lock

    def poll(self) -> tuple[list[Job], float | None]:
        """Return the next batch if the rule closes it now, else [] and the seconds to wait (None: until a put)."""
        with self._lock:
            return self._close_batch(time.monotonic())

    def close(self) -> None:
        """Accept nothing more. What waits is still handed out, without waiting for fuller batches."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
        if self._on_put is not None:
            self._on_put()

    @property
    def is_closed(self) -> bool:
        """Whether the queue accepts nothing more."""
        return self._closed

    @property
    def is_drained(self) -> bool:
        """Whether the queue is closed and empty."""
        return self._closed and not self._waiting

    def _close_batch(self, now_s: float) -> tuple[list[Job], float | None]:
        if not self._waiting:
            return [], None
        wait_s = 0.0 if self._closed else self._wait_s(now_s)
        if wait_s > 0.0:
            return [], wait_s
        batch = self._pop_batch(now_s)
        self._wake_at = _WAKE_AT_FIRST  # the other threads in `take` wait for the first item of the next batch
        if batch:
            self._running[id(batch)] = RunningBatch(now_s, len(batch))
        if self._waiting and self._idle_takers:
            self._changed.notify()  # another thread may take what is left
        return batch, None

    def _pop_batch(self, now_s: float) -> list[Job]:
        batch: list[Job] = []
        for lane in self._lanes.values():
            while lane and len(batch) < self._size:
                job = lane.popleft()
                self._waiting -= 1
                if job.is_abandoned():
                    self._on_drop(job, Dropped.ABANDONED)
                elif job.deadline_s is not None and job.deadline_s <= now_s:
                    self._on_drop(job, Dropped.EXPIRED)
                else:
                    batch.append(job)
        return batch

    def _new_lane(self, urgency: int) -> deque[Job]:
        lane: deque[Job] = deque()
        # A new dictionary, because other threads may be iterating over the present one without the lock.
        self._lanes = dict(sorted([*self._lanes.items(), (urgency, lane)]))
        return lane

    def _displace(self, count: int, urgency: int) -> bool:
        """Drop `count` less urgent jobs, the least urgent first and of those the youngest.

        Return whether there were enough; otherwise none is dropped.
        """
        less_urgent = [lane for lane_urgency, lane in self._lanes.items() if lane_urgency > urgency]
        # Never one item of several: others of its request may have run, and a refusal says that nothing was executed.
        places = [(lane, job) for lane in reversed(less_urgent) for job in reversed(lane) if job.is_whole_request]
        if len(places) < count:
            return False
        for lane, job in places[:count]:
            lane.remove(job)
            self._waiting -= 1
            self._on_drop(job, Dropped.DISPLACED)
        return True

    def _wait_s(self, now_s: float) -> float:
        if self._fit is None or self._waiting >= self._full_size:
            return 0.0
        oldest_s = self.oldest_arrival_s()
        if oldest_s is None:
            return 0.0
        return batch_wait_s(
            self.rule,
            queued=self._waiting,
            oldest_wait_s=now_s - oldest_s,
            arrival_rps=self.arrival_rps(now_s),
            fit=self._fit,
        )
