"""One simulated replica: a queue, and batches that close by the SDK's own rule.

The SDK learns how long a batch takes while it runs. Where simulated batches always take what their model says, a
replica is told that line from the start (`ExecutionFit`): it behaves as one that has learned all there is to learn.
Where shares of a GPU change, it starts with what its warm-up taught it, and learns on by the SDK's own code.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple, Protocol

from dilu.answer_prediction import RunningBatch, answer_after_s, budget_s
from dilu.batching import BatchRule, ExecutionFit, ExecutionModel, batch_wait_s
from dilu_simulator.arrivals.tokens import Tokens
from dilu_simulator.event_queue import US_PER_S, EventQueue, Order

_RATE_ARRIVALS: Final = 16
"""The number of arrivals over which their rate is taken, as in the SDK's queue."""


class SimulatedRequest(NamedTuple):
    """One request: its times."""

    arrived_us: int
    taken_us: int
    """When its replica took it."""
    tokens: Tokens | None = None
    """Of a language model."""


class Phase(Enum):
    """Where a replica is in its life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDED = "ended"


class BatchOwner(Protocol):
    """The replica whose batches run on an execution."""

    @property
    def oldest_waiting_us(self) -> int | None:
        """When the oldest request came that waits for the next batch. None: none waits."""

    def answered(self, requests: list[SimulatedRequest]) -> None:
        """Note requests that are answered before their batch ends."""

    def finished(self) -> None:
        """Finish the batch: answer all that were not answered yet."""


class BatchRunner(Protocol):
    """The device that runs a replica's batches."""

    @property
    def start_delay_us(self) -> int:
        """How much longer coming up takes here, as where the image has to be fetched first."""

    def start(self, batch: Sequence[SimulatedRequest], owner: BatchOwner) -> None:
        """Start that batch now."""

    def queued(self) -> None:
        """Note that one more request waits behind the running batch."""

    def grantable_rps(self) -> float | None:
        """Return the throughput at the share that it could be granted now. None: it shares its device with no other."""


class FixedExecution:
    """A device that is the replica's own: a batch takes the same time whatever else runs."""

    start_delay_us: Final = 0

    def __init__(self, events: EventQueue, batch_us: int) -> None:
        self._events = events
        self._batch_us = batch_us

    def start(self, batch: Sequence[SimulatedRequest], owner: BatchOwner) -> None:
        """Start a batch now."""
        self._events.at(self._events.now_us + self._batch_us, Order.FINISHED, owner.finished)

    def queued(self) -> None:
        """Ignore a higher speed: there is none."""

    def grantable_rps(self) -> None:
        """Return None: no other replica takes a share of this device."""


class SimulatedReplica:
    """Takes requests, runs batches one after the other, and tells its owner what was answered."""

    def __init__(
        self,
        number: int,
        *,
        rule: BatchRule,
        fit: ExecutionFit,
        learned: ExecutionModel | None,
        events: EventQueue,
        on_answered: Callable[[SimulatedReplica, list[SimulatedRequest]], None],
    ) -> None:
        self.number = number
        self.phase = Phase.STARTING
        self.asked_us = events.now_us
        self.load = 0
        """Requests that it has: the queue and the running batch."""
        self.execution: BatchRunner | None = None
        """What its batches run on. None: no room for it was found yet."""
        self._rule = rule
        self._fit = fit
        self._learned = learned  # None: there is nothing to learn
        self._size = rule.size_for(fit)
        self._events = events
        self._on_answered = on_answered
        self._queue: deque[SimulatedRequest] = deque()
        self._running: list[SimulatedRequest] = []
        self._running_size = 0
        self._began_us = 0
        self._taken_us: deque[int] = deque(maxlen=_RATE_ARRIVALS)
        self._closes_at_us = -1

    @property
    def oldest_waiting_us(self) -> int | None:
        """When the oldest request came that waits for the next batch. None: none waits."""
        return self._queue[0].arrived_us if self._queue else None

    def refuses(self) -> bool:
        """Whether it would refuse a request that came now, as the SDK does: it would be answered too late."""
        slo_s = self._rule.slo_s
        if slo_s is None or not self.load or self._fit.execution_s(1) >= budget_s(slo_s):
            return False
        now_us = self._events.now_us
        answer_s = answer_after_s(
            self._rule,
            self._fit,
            ahead=len(self._queue),
            running=[RunningBatch(self._began_us / US_PER_S, self._running_size)] if self._running else [],
            slots=1,
            arrival_rps=self._arrival_rps(now_us),
            now_s=now_us / US_PER_S,
        )
        return answer_s > budget_s(slo_s)

    def take(self, arrived_us: int, tokens: Tokens | None = None) -> None:
        """Queue one more request."""
        now_us = self._events.now_us
        self.load += 1
        self._queue.append(SimulatedRequest(arrived_us, now_us, tokens))
        self._taken_us.append(now_us)
        if not self._running:
            self._close_batch()
        elif self.execution is not None:
            self.execution.queued()

    def _close_batch(self) -> None:
        """Start a batch if the rule closes it now, else look again when it would."""
        now_us = self._events.now_us
        wait_s = batch_wait_s(
            self._rule,
            queued=len(self._queue),
            oldest_wait_s=(now_us - self._queue[0].taken_us) / US_PER_S,
            arrival_rps=self._arrival_rps(now_us),
            fit=self._fit,
        )
        if wait_s > 0.0 and self.phase is Phase.READY:
            self._close_at(now_us + max(1, round(wait_s * US_PER_S)))
            return
        size = min(self._size, len(self._queue))
        self._running = [self._queue.popleft() for _ in range(size)]
        self._running_size = size
        self._began_us = now_us
        assert self.execution is not None, "it is ready, so it has a place"
        self.execution.start(self._running, self)

    def _close_at(self, at_us: int) -> None:
        if self._closes_at_us != at_us:
            self._closes_at_us = at_us
            self._events.at(at_us, Order.CLOSED, self._close_if_due)

    def _close_if_due(self) -> None:
        if self._closes_at_us == self._events.now_us and self._queue and not self._running:
            self._close_batch()

    def answered(self, requests: list[SimulatedRequest]) -> None:
        """Note answered requests of the running batch; the others continue."""
        ended = {id(request) for request in requests}
        self._running = [request for request in self._running if id(request) not in ended]
        self.load -= len(requests)
        self._on_answered(self, requests)

    def finished(self) -> None:
        """Finish the running batch."""
        answered = self._running
        if self._learned is not None:
            self._learn((self._events.now_us - self._began_us) / US_PER_S)
        self.load -= len(answered)
        self._on_answered(self, answered)  # which may give it more: all of that is in the next batch
        self._running = []
        if self._queue:
            self._close_batch()

    def _learn(self, execution_s: float) -> None:
        assert self._learned is not None, "called only where there is something to learn"
        self._learned = self._learned.learned(self._running_size, execution_s)
        fit = self._learned.fit()
        if fit is not None:
            self._fit = fit
            self._size = self._rule.size_for(fit)

    def _arrival_rps(self, now_us: int) -> float:
        if len(self._taken_us) < 2:
            return 0.0
        return (len(self._taken_us) - 1) * US_PER_S / max(now_us - self._taken_us[0], 1)
