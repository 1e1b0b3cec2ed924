"""The numbers of a run over time, on request."""

from __future__ import annotations

from typing import Final

from dilu_simulator.event_queue import US_PER_S, Order
from dilu_simulator.results import TimelineRow
from dilu_simulator.run_state import RunningFunction, RunState

_MILLI_US: Final = 1000 * US_PER_S


class Timeline:
    """A row for each function in each period."""

    def __init__(self, running: RunState, every_s: float) -> None:
        self.rows: list[TimelineRow] = []
        self._running = running
        self._every_us = max(1, round(every_s * US_PER_S))
        self._before = {function.entry.name: (0, 0, 0) for function in running.functions}
        self._schedule_next()

    def _schedule_next(self) -> None:
        events = self._running.events
        if events.now_us + self._every_us <= self._running.ends_us:
            events.at(events.now_us + self._every_us, Order.TICKED, self._record)

    def _record(self) -> None:
        for function in self._running.functions:
            self.rows.append(self._row(function))
        self._schedule_next()

    def _row(self, function: RunningFunction) -> TimelineRow:
        simulated = function.simulated
        function.places.settle()
        name = function.entry.name
        arrived = simulated.latencies.count + simulated.refused + simulated.outstanding
        now = arrived, simulated.refused_or_late, function.places.usage.granted
        requests, violations, granted = (after - before for after, before in zip(now, self._before[name], strict=True))
        self._before[name] = now
        return TimelineRow(
            t_s=self._running.events.now_us / US_PER_S,
            function=name,
            requests=requests,
            violations=violations,
            ready=simulated.ready,
            starting=simulated.starting,
            granted_gpu_seconds=granted / _MILLI_US,
        )
