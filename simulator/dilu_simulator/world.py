"""The simulated world behind the loop's three ports, and the loop that runs in it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import repeat
from typing import Final

from dilu_autoscaler.loop import ScaleLoop
from dilu_autoscaler.policy.horizontal import Decision, Observation, ScaleSpec
from dilu_simulator.arrivals.tokens import Tokens
from dilu_simulator.event_queue import US_PER_S, EventQueue, Order
from dilu_simulator.function_settings import FunctionSetting, LoopPokes, ReplicaPlaces
from dilu_simulator.functions import SimulatedFunction

NO_TOKENS: Final[Iterator[Tokens | None]] = repeat(None)


def first_us_at(at_s: float) -> int:
    """Return the first whole microsecond that the loop's clock does not show as before that time.

    >>> first_us_at(13.345678), first_us_at(12.345678 + 1.0), first_us_at(0.1 + 0.2)
    (13345678, 13345678, 300001)
    """
    at_us = math.floor(at_s * US_PER_S)
    while at_us / US_PER_S < at_s:  # or a tick would come an ulp too early, find nothing due, and come again
        at_us += 1
    return at_us


class SimulatedWorld:
    """Functions under load, scaled by the real loop on a virtual clock."""

    def __init__(self, events: EventQueue) -> None:
        self.events = events
        self.functions: dict[str, SimulatedFunction] = {}
        self._loop = ScaleLoop(clock=self, metrics=self, actuator=self)
        self._ticks_at_us: int | None = None

    def now_s(self) -> float:
        """Return the loop's clock."""
        return self.events.now_us / US_PER_S

    def observe(self, function: str, now_s: float) -> Observation:
        """Return what happened to the function, for the loop."""
        return self.functions[function].observe()

    def apply(self, function: str, decision: Decision) -> None:
        """Scale the function; see `ports.Actuator`."""
        if decision.replicas is not None:
            self.functions[function].scale_to(decision.replicas)

    def add(
        self,
        setting: FunctionSetting,
        scaled: ScaleSpec,
        arrivals_us: Iterator[int],
        places: ReplicaPlaces,
        tokens: Iterator[Tokens | None] = NO_TOKENS,
    ) -> SimulatedFunction:
        """Add a function, its load (ascending times, and tokens for each) and the places of its replicas."""
        name = setting.spec.name
        function = SimulatedFunction(
            setting,
            events=self.events,
            places=places,
            pokes=LoopPokes(now=lambda: self._poke(name), at_next_second=lambda: self._poke_at_next_second(name)),
        )
        self.functions[name] = function
        self._loop.add(scaled)
        self._schedule_tick()
        self._arrive_next(function, arrivals_us, tokens)
        return function

    @property
    def has_outstanding(self) -> bool:
        """Whether any request was not answered yet."""
        return any(function.outstanding for function in self.functions.values())

    def drain(self, until_us: int) -> None:
        """Run until the last request is answered, in whole seconds, but nothing after that time."""
        while self.has_outstanding and self.events.now_us < until_us:
            self.events.run_until(min(until_us, self.events.now_us + US_PER_S))

    def _arrive_next(
        self, function: SimulatedFunction, arrivals_us: Iterator[int], tokens: Iterator[Tokens | None]
    ) -> None:
        def arrive() -> None:
            function.arrive(next(tokens))
            schedule()

        def schedule() -> None:
            at_us = next(arrivals_us, None)
            if at_us is not None:
                self.events.at(at_us, Order.ARRIVED, arrive)

        schedule()

    def _poke(self, name: str) -> None:
        self._loop.poke(name)
        self._schedule_tick()

    def _poke_at_next_second(self, name: str) -> None:
        at_us = (self.events.now_us // US_PER_S + 1) * US_PER_S
        self.events.at(at_us, Order.TICKED, lambda: self._poke(name))

    def _schedule_tick(self) -> None:
        due_s = self._loop.next_due_s()
        if due_s is None:
            return
        due_us = max(self.events.now_us, first_us_at(due_s))
        if self._ticks_at_us is None or due_us < self._ticks_at_us:
            self._ticks_at_us = due_us
            self.events.at(due_us, Order.TICKED, self._tick)

    def _tick(self) -> None:
        if self._ticks_at_us != self.events.now_us:  # an earlier tick was scheduled instead
            return
        self._ticks_at_us = None
        for tick in self._loop.run_due():
            if tick.failed:  # in production the loop continues; here the numbers would be another policy's
                raise RuntimeError(f"{tick.function}, at {tick.now_s:g} s: {tick.decision.reason}")
        self._schedule_tick()
