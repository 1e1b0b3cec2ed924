"""Runs the scale loop when a tick is due or `wake` is called, and sleeps otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from dilu_autoscaler.local.functions import LocalFunction
from dilu_autoscaler.loop import ScaleLoop, Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation, scale_spec_for


class MonotonicClock:
    """The clock that samples are stamped with."""

    def now_s(self) -> float:
        """Seconds since some moment in the past."""
        return time.monotonic()


class LocalPorts:
    """The scale loop's view of this machine: the gateway's seconds in, the supervisors' desired numbers out."""

    def __init__(self, functions: Mapping[str, LocalFunction]) -> None:
        self._functions = functions

    def observe(self, function: str, now_s: float) -> Observation | None:
        """Return what happened to the function since the last call."""
        return self._functions[function].observe(now_s)

    def apply(self, function: str, decision: Decision) -> None:
        """Record how many replicas are wanted; the supervisor brings it about."""
        self._functions[function].apply(decision)


class ScaleDriver:
    """Owns the scale loop: everything of it happens on this task, or in `wake`."""

    def __init__(self, functions: Mapping[str, LocalFunction]) -> None:
        ports = LocalPorts(functions)
        self._functions = functions
        self._loop = ScaleLoop(clock=MonotonicClock(), metrics=ports, actuator=ports)
        self._woken = asyncio.Event()
        self._readings: dict[str, asyncio.Task[None]] = {}
        for function in functions.values():
            self._loop.add(scale_spec_for(function.plan.spec, function.plan.policy))

    def wake(self, function: str) -> None:
        """Look at the function now: its first request, a replica that came or went."""
        self._loop.poke(function)
        self._woken.set()

    def replan(self, function: LocalFunction) -> None:
        """Scale the function by its present plan."""
        self._loop.update(scale_spec_for(function.plan.spec, function.plan.policy))
        self.wake(function.name)

    async def run(self) -> None:
        """Decide whenever something is due, until cancelled."""
        while True:
            self._woken.clear()
            for tick in self._loop.run_due():
                self._functions[tick.function].decided(tick)
                self._read_capacity(tick)
            due_s = self._loop.next_due_s()
            wait_s = None if due_s is None else max(0.0, due_s - time.monotonic())
            try:
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Let what is being read end."""
        for reading in self._readings.values():
            reading.cancel()
        await asyncio.gather(*self._readings.values(), return_exceptions=True)

    def _read_capacity(self, tick: Tick) -> None:
        """Once a second while there is traffic: the samples say that a second with requests is over."""
        if tick.seen is None or not any(sample.concurrency for sample in tick.seen.samples):
            return
        reading = self._readings.get(tick.function)
        if reading is None or reading.done():
            function = self._functions[tick.function]
            self._readings[tick.function] = asyncio.get_running_loop().create_task(function.read_capacity())
