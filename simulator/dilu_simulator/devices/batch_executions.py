"""Batches of one replica on shared GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dilu_simulator.devices.executions import NO_SLACK_US, Execution, ShareTimes, Usage
from dilu_simulator.event_queue import US_PER_S, EventQueue
from dilu_simulator.replicas import BatchOwner, SimulatedRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchWork:
    """What all replicas of a function have in common."""

    times: ShareTimes
    batch: int
    request_milli: int
    limit_milli: int
    slo_us: int | None
    """Of a request; of a language model per output token. None: no objective."""

    def batch_us(self, size: int, share_milli: int) -> float:
        """Return the duration of a batch of typical requests, alone."""
        return self.times.us(size, share_milli)

    @property
    def waiting_slo_us(self) -> int | None:
        """The objective of a typical request as a whole."""
        return self.slo_us


class BatchExecution(Execution):
    """Runs one batch after the other; a unit of work is a batch."""

    __slots__ = ("_began_us", "_ends_batch", "_owner", "batch", "size", "start_delay_us", "work")

    def __init__(self, events: EventQueue, usage: Usage, work: BatchWork, start_delay_us: int = 0) -> None:
        super().__init__(events, usage)
        self.work = work
        self.start_delay_us = start_delay_us
        self.batch: Sequence[SimulatedRequest] = ()
        self.size = 0
        self._owner: BatchOwner | None = None
        self._ends_batch = False
        self._began_us = 0

    def start(self, batch: Sequence[SimulatedRequest], owner: BatchOwner) -> None:
        """Start that batch now."""
        self._owner = owner
        self.batch = batch
        self.size = len(batch)
        self._began_us = self.events.now_us
        self.take_up()
        self.begin(1.0)
        if not self._ends_batch:
            self.decide()

    def queued(self) -> None:
        """Note that one more request waits behind the running batch."""
        for tenant in self.tenants:
            tenant.gpu.soon()

    def grantable_rps(self) -> float:
        """Return the throughput of full batches at the share that its GPUs could grant now."""
        if len(self.tenants) == 1:
            tenant = self.tenants[0]
            share = tenant.gpu.could_grant(tenant)
        else:
            share = min([tenant.gpu.could_grant(tenant) for tenant in self.tenants])
        return self.work.batch * US_PER_S / self.work.batch_us(self.work.batch, share)

    def slack_us(self, now_us: int) -> int:
        """See `Execution`. Both the running batch and the oldest that waits behind it count."""
        slo_us, owner = self.work.slo_us, self._owner
        if slo_us is None or owner is None:
            return NO_SLACK_US
        left_us = self.left_us(now_us)
        slack_us = self.running_slack_us(now_us, left_us)
        waiting_us, waiting_slo_us = owner.oldest_waiting_us, self.work.waiting_slo_us
        if waiting_us is not None and waiting_slo_us is not None:
            next_us = self.work.batch_us(self.work.batch, self.work.request_milli)
            slack_us = min(slack_us, waiting_us + waiting_slo_us - now_us - left_us - next_us)
        return int(slack_us)

    def left_us(self, now_us: int) -> float:
        """Return the time that the running batch still takes at the request."""
        remaining = self.remaining - (now_us - self._since_us) * self.rate
        return max(0.0, remaining) * self.solo_us(self.work.request_milli)

    def running_slack_us(self, now_us: int, left_us: float) -> float:
        """Return the slack of the running batch."""
        assert self.work.slo_us is not None, "asked only where there is an objective"
        return self.batch[0].arrived_us + self.work.slo_us - now_us - left_us

    def take_up(self) -> None:
        """Start a new batch."""

    def solo_us(self, share_milli: int) -> float:
        """See `Execution`."""
        return self.work.times.us(self.size, share_milli)

    def part_done(self) -> bool:
        """Tell whether the whole batch is done; if not, begin its next part."""
        return True

    def done(self) -> None:
        """See `Execution`."""
        if not self.part_done():
            return
        owner, self._owner = self._owner, None
        assert owner is not None, "a batch in hand has an owner"
        self._note_cycle()
        self._ends_batch = True  # the next batch may begin within the call below; shares are decided once, after it
        owner.finished()
        self._ends_batch = False
        if not self.tenants:  # it was the last batch of a replica that leaves
            return
        if self._owner is None:
            self.end()
        self.decide()

    def answer(self, items: list[SimulatedRequest]) -> None:
        """Note requests that are answered before the batch ends."""
        assert self._owner is not None, "a batch in hand has an owner"
        self._owner.answered(items)

    def min_us(self) -> float:
        """Return the duration of the batch by its profile, alone at the limit."""
        return self.work.times.us(self.size, self.work.limit_milli)

    def _note_cycle(self) -> None:
        cycle_us = self.events.now_us - self._began_us
        min_us = int(self.min_us())
        for tenant in self.tenants:
            inputs = tenant.gpu.inputs
            inputs.cycle_us[tenant.place] = cycle_us
            inputs.min_cycle_us[tenant.place] = min_us
