"""A training job: iterations one after the other, at the speed of its slowest GPU.

An iteration is no event; what was done by now is the rate summed over time. A day of training costs no more events than
its neighbours cause by changing its rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from dilu_simulator.devices.executions import Execution, ShareTimes, Usage
from dilu_simulator.event_queue import EventQueue


class TrainingExecution(Execution):
    """A unit of work is an iteration."""

    __slots__ = ("_limit_milli", "_on_done", "_times")

    def __init__(
        self, events: EventQueue, usage: Usage, times: ShareTimes, limit_milli: int, on_done: Callable[[], None]
    ) -> None:
        super().__init__(events, usage)
        self._times = times
        self._limit_milli = limit_milli
        self._on_done = on_done

    def train(self, iterations: float = math.inf) -> None:
        """Run a number of iterations from now on."""
        self.begin(iterations)
        self.decide()

    def solo_us(self, share_milli: int) -> float:
        """See `Execution`."""
        return self._times.us(1, share_milli)

    def rerate(self) -> None:
        """See `Execution`. Its launch cycle is one iteration."""
        super().rerate()
        if self.rate:
            cycle_us, min_us = round(1.0 / self.rate), int(self._times.us(1, self._limit_milli))
            for tenant in self.tenants:
                tenant.gpu.inputs.cycle_us[tenant.place] = cycle_us
                tenant.gpu.inputs.min_cycle_us[tenant.place] = min_us

    def done(self) -> None:
        """See `Execution`."""
        self.end()
        self.decide()
        self._on_done()
