"""Work on shared GPUs: it proceeds at the granted share, and its end moves when shares do."""

from __future__ import annotations

import math
from typing import Final

from dilu_simulator.devices.gpus import Tenant
from dilu_simulator.event_queue import EventQueue, Order
from dilu_simulator.models.curves import CO_RUNNING, SoloCurve, co_running

_MAX_US: Final = 1e15
"""Work that would end later never ends: thirty years."""
_ROUNDING_US: Final = 1e-3
"""Rounding error of sums of floats: no reason to end a microsecond later."""
NO_SLACK_US: Final = 1 << 40
"""The slack of work without an objective: twelve days."""


class Usage:
    """GPU time of one function, in milli-GPU microseconds."""

    __slots__ = ("granted", "used")

    def __init__(self) -> None:
        self.granted = 0
        """Granted share x time, used or not."""
        self.used = 0
        """Granted share x time while there was work."""


class ShareTimes:
    """Microseconds of a batch by size and share, each computed once."""

    __slots__ = ("_curve", "_known")

    def __init__(self, curve: SoloCurve) -> None:
        self._curve = curve
        self._known: dict[int, float] = {}

    def us(self, size: int, share_milli: int) -> float:
        """Return the duration of a batch of that size, alone, at that share (above 0)."""
        key = size << 10 | share_milli
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._curve.execution_ms(size, share_milli / 1000) * 1000
        return known


class Execution:
    """Work of a replica or of a training job: its rate follows the slowest GPU, and its end moves with it."""

    __slots__ = ("_checks_us", "_due_us", "_since_us", "events", "progress", "rate", "remaining", "tenants", "usage")

    def __init__(self, events: EventQueue, usage: Usage) -> None:
        self.events = events
        self.usage = usage
        self.tenants: list[Tenant] = []
        self.remaining = 0.0
        """Of the current work, in its own unit; 0 while there is none."""
        self.rate = 0.0
        """Units a microsecond."""
        self.progress = 0.0
        """Units done since it was created."""
        self._since_us = events.now_us
        self._due_us = -1
        self._checks_us = -1

    def slack_us(self, now_us: int) -> int:
        """Return how much later than expected its oldest request may be answered, at its requested share."""
        return NO_SLACK_US

    def solo_us(self, share_milli: int) -> float:
        """Return the duration of one unit of the current work, alone, at that share."""
        raise NotImplementedError

    def done(self) -> None:
        """Finish the running work."""
        raise NotImplementedError

    def settle(self) -> None:
        """Record what was done and granted until now."""
        now_us = self.events.now_us
        passed_us = now_us - self._since_us
        if not passed_us:
            return
        self._since_us = now_us
        if self.rate:
            units = min(self.remaining, passed_us * self.rate)
            self.progress += units
            self.remaining -= units
        usage = self.usage
        for tenant in self.tenants:
            usage.granted += tenant.granted_milli * passed_us
            usage.used += tenant.share_milli * passed_us

    def begin(self, amount: float) -> None:
        """Note that there is work from now on; the caller decides the shares by `decide` afterwards."""
        self.settle()
        for tenant in self.tenants:
            tenant.gpu.before_change()
            tenant.gpu.inputs.work[tenant.place] = 1
        self.remaining = amount
        self._due_us = -1

    def end(self) -> None:
        """End the work; call `decide` afterwards for the shares."""
        for tenant in self.tenants:
            tenant.gpu.before_change()
            tenant.gpu.inputs.work[tenant.place] = 0
            tenant.worked_us = self.events.now_us

    def decide(self) -> None:
        """Decide the shares on all its GPUs, and move the end of the current work."""
        for tenant in self.tenants:
            tenant.gpu.decide()
        self.rerate()

    def rerate(self) -> None:
        """Follow the shares as they are now."""
        if not self.remaining and self._due_us >= 0:
            return  # done in this microsecond; its end is the next event
        rate = self._rate_now() if self.remaining else 0.0
        if rate and rate == self.rate and self._due_us >= 0:
            return  # the end is where it was
        self.rate = rate
        if rate:
            due_us = self.remaining / rate
            if due_us < _MAX_US:
                self._due_us = self.events.now_us + max(1, math.ceil(due_us - _ROUNDING_US))
                self._check_at(self._due_us)
                return
        self._due_us = -1

    def _rate_now(self) -> float:
        """Units a microsecond, on the slowest GPU."""
        slowest = math.inf
        for tenant in self.tenants:
            share, running = tenant.share_milli, tenant.running
            if not share:
                return 0.0
            slowdown = CO_RUNNING[running] if running < len(CO_RUNNING) else co_running(running)
            rate = 1.0 / (self.solo_us(share) * slowdown)
            if rate < slowest:
                slowest = rate
        return slowest

    def _check_at(self, due_us: int) -> None:
        if not self.events.now_us <= self._checks_us <= due_us:
            self._checks_us = due_us
            self.events.at(due_us, Order.FINISHED, self._check)

    def _check(self) -> None:
        now_us = self.events.now_us
        if self._checks_us != now_us:  # another check was scheduled instead
            return
        self._checks_us = -1
        if self._due_us > now_us:
            self._check_at(self._due_us)
        elif self._due_us == now_us:
            self._due_us = -1
            self.settle()
            self.progress += self.remaining  # what rounding left
            self.remaining = self.rate = 0.0
            self.done()

    def leave(self) -> None:
        """Remove it from its GPUs, with the work that it had."""
        self.settle()
        tenants, self.tenants = self.tenants, []
        self.remaining = self.rate = 0.0
        self._due_us = -1
        for tenant in tenants:
            tenant.gpu.leave(tenant)
