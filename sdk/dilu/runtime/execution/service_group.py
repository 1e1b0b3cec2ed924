"""The functions of one replica, each with its own queue, workers and metrics, treated as one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dilu.runtime.execution.service import FunctionService, State

_SUMMED = ("arrivals_rps", "refused_rps", "completed_rps", "in_flight", "queue_depth", "max_in_flight")


class ServiceGroup:
    """The functions that one replica loads, drains and closes together."""

    def __init__(self, services: Sequence[FunctionService]) -> None:
        self.services = tuple(services)

    @property
    def state(self) -> State:
        """The phase of the replica: ready once every function is."""
        states = {service.state for service in self.services}
        return next(state for state in (State.DRAINING, State.STARTING, State.READY) if state in states)

    @property
    def name(self) -> str:
        """The functions' names, for logs."""
        return ", ".join(service.definition.spec.name for service in self.services)

    async def load(self) -> None:
        """Load the functions one after the other; at the same time they would need their peak memory together."""
        for service in self.services:
            await service.load()

    async def ended(self) -> None:
        """Wait until the threads of one function have ended. Raise the error if they ended before a drain."""
        ends = [asyncio.ensure_future(service.ended()) for service in self.services]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in done:
                end.result()
        finally:
            for end in ends:
                end.cancel()

    def start_draining(self) -> None:
        """Tell clients from now on to leave."""
        for service in self.services:
            service.start_draining()

    async def close(self, timeout_s: float) -> bool:
        """Finish what waits and unload, for at most `timeout_s`. Return whether all functions ended."""
        return all(await asyncio.gather(*(service.close(timeout_s) for service in self.services)))

    @property
    def in_flight(self) -> int:
        """Requests accepted and not yet answered."""
        return sum(service.metrics.in_flight for service in self.services)

    @property
    def arrival_count(self) -> int:
        """Requests received so far."""
        return sum(service.metrics.arrival_count for service in self.services)

    def stats(self, replica: str | None) -> dict[str, Any]:
        """Return the body of `/v1/stats`: the function's own; of several, their sums and each one under `functions`."""
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
            "learned_rps": None,  # requests of different functions cannot be added up
            "totals": totals,
            "functions": {one["function"]: one for one in each},
        }
