"""The functions of one replica, each with its own queue, workers and numbers, and what they are together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dilu.runtime.execution.service import FunctionService, State

_SUMMED = ("arrivals_rps", "refused_rps", "completed_rps", "in_flight", "queue_depth", "max_in_flight")


class ServiceGroup:
    """One or several functions that live and die together."""

    def __init__(self, services: Sequence[FunctionService]) -> None:
        self.services = tuple(services)

    @property
    def state(self) -> State:
        """Where the replica is in its life: ready once every function is."""
        states = {service.state for service in self.services}
        return next(state for state in (State.DRAINING, State.STARTING, State.READY) if state in states)

    @property
    def name(self) -> str:
        """The functions' names, for logs."""
        return ", ".join(service.definition.spec.name for service in self.services)

    async def load(self) -> None:
        """Load one function after the other: together they would need the most memory at the same moment."""
        for service in self.services:
            await service.load()

    async def ended(self) -> None:
        """Returns when the threads of some function have ended; before a drain that is a failure, and raised."""
        ends = [asyncio.ensure_future(service.ended()) for service in self.services]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
        finally:
            for end in ends:
                end.cancel()

    def start_draining(self) -> None:
        """From now on the replica asks to be left alone."""
        for service in self.services:
            service.start_draining()

    async def close(self, timeout_s: float) -> bool:
        """Finish what waits and unload, for at most `timeout_s`. Whether all of them ended."""
        return all(await asyncio.gather(*(service.close(timeout_s) for service in self.services)))

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return sum(service.metrics.in_flight for service in self.services)

    @property
    def arrival_count(self) -> int:
        """Requests that came so far."""
        return sum(service.metrics.arrival_count for service in self.services)

    def stats(self, replica: str | None) -> dict[str, Any]:
        """The body of `/v1/stats`: the function's own, or of several their sums and each one's under `functions`."""
        each = [service.stats(replica) for service in self.services]
        if len(each) == 1:
            return each[0]
        totals = {key: sum(one["totals"][key] for one in each) for key in each[0]["totals"]}
        return {
            "function": None,
            "replica": replica,
            "state": self.state.value,
            "window_s": 1.0,
            **{key: sum(one[key] for one in each) for key in _SUMMED},
            "oldest_wait_s": max(one["oldest_wait_s"] for one in each),
            "capacity_rps": None,  # a request of one function is not one of another
            "totals": totals,
            "functions": {one["function"]: one for one in each},
        }
