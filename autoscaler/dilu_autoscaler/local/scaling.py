"""The scale loop of `dilu up`: its ports on this machine, and what follows from each decision."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from dilu_autoscaler.driver import LoopDriver
from dilu_autoscaler.local.functions import LocalFunction
from dilu_autoscaler.loop import ScaleLoop, Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation, scale_spec_for


class MonotonicClock:
    """The clock that samples are stamped with."""

    def now_s(self) -> float:
        """Return seconds since some moment in the past."""
        return time.monotonic()


class LocalPorts:
    """Source and actuator: the gateway's seconds in, the supervisors' desired counts out."""

    def __init__(self, functions: Mapping[str, LocalFunction]) -> None:
        self._functions = functions

    def observe(self, function: str, now_s: float) -> Observation | None:
        """Return what happened to the function since the last call."""
        return self._functions[function].observe(now_s)

    def apply(self, function: str, decision: Decision) -> None:
        """Set the desired count; the supervisor brings it about."""
        self._functions[function].apply(decision)


class LocalScaling:
    """Scales the functions of `dilu up`. All of it runs on one asyncio loop."""

    def __init__(self, functions: Mapping[str, LocalFunction]) -> None:
        ports, clock = LocalPorts(functions), MonotonicClock()
        self._functions = functions
        self._loop = ScaleLoop(clock=clock, metrics=ports, actuator=ports)
        self._driver = LoopDriver(self._loop, clock, on_tick=self._ticked)
        self._readings: dict[str, asyncio.Task[None]] = {}
        for function in functions.values():
            self._loop.add(scale_spec_for(function.plan.spec, function.plan.policy))

    def wake(self, function: str) -> None:
        """Decide on the function now: its first request came, a replica became ready or ended."""
        self._driver.poke(function)

    def replan(self, function: LocalFunction) -> None:
        """Scale the function by its present plan."""
        self._loop.update(scale_spec_for(function.plan.spec, function.plan.policy))
        self._driver.wake()

    async def run(self) -> None:
        """Decide whenever something is due, until cancelled."""
        await self._driver.run()

    async def close(self) -> None:
        """End the reads that are under way."""
        for reading in self._readings.values():
            reading.cancel()
        await asyncio.gather(*self._readings.values(), return_exceptions=True)

    def _ticked(self, tick: Tick) -> None:
        self._functions[tick.function].decided(tick)
        if tick.seen is not None and any(sample.concurrency for sample in tick.seen.samples):
            self._read_throughput(tick.function)

    def _read_throughput(self, name: str) -> None:
        """Read what the replicas have learned, about once a second while there is traffic."""
        reading = self._readings.get(name)
        if reading is None or reading.done():
            function = self._functions[name]
            self._readings[name] = asyncio.get_running_loop().create_task(function.read_throughput())
