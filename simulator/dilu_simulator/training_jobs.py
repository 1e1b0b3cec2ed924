"""A training job in the simulated world: it waits for room, starts, trains, and leaves when it is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

from dilu_simulator.devices import Cluster, Demand, ShareTimes, TrainingExecution, Usage
from dilu_simulator.devices.gpu_places import join_all
from dilu_simulator.devices.gpus import Gpu
from dilu_simulator.event_queue import US_PER_S, EventQueue, Order
from dilu_simulator.scenario.scenarios import TrainingJob


class SimulatedTraining:
    """One job; it schedules itself from its start time on."""

    def __init__(self, job: TrainingJob, *, events: EventQueue, cluster: Cluster) -> None:
        self.job = job
        self.usage = Usage()
        self.placed_us: int | None = None
        """When it got its GPUs. None: not yet."""
        self.began_us: int | None = None
        """When it began to train. None: not yet."""
        self.done_us: int | None = None
        """When it had done all its iterations. None: not yet."""
        self._events = events
        self._cluster = cluster
        self._demand: Demand = job.demand
        self._gpus: Sequence[Gpu] = ()
        self._execution: TrainingExecution | None = None
        self._done_iterations = 0.0
        events.at(round(job.start_s * US_PER_S), Order.READY, self._start)

    @property
    def iterations(self) -> float:
        """Done until now."""
        if self._execution is None:
            return self._done_iterations
        self._execution.settle()
        return self._execution.progress

    def _start(self) -> None:
        if self._still_waits():
            self._cluster.wait(self.job.name, self._still_waits)

    def _still_waits(self) -> bool:
        gpus = self._cluster.place(self._demand)
        if gpus is None:
            return True
        now_us = self._events.now_us
        self.placed_us, self._gpus = now_us, gpus
        times = ShareTimes(self.job.model.training.curve)
        self._execution = TrainingExecution(self._events, self.usage, times, self._demand.limit_milli, self._done)
        join_all(self._execution, gpus, self._demand, sensitive=False)
        start = self.job.cold_start
        start_s = start.start_s + (start.image_s if self._cluster.pulls_image(self.job.name, gpus) else 0.0)
        self._events.at(now_us + round(start_s * US_PER_S), Order.READY, self._train)
        return False

    def _train(self) -> None:
        assert self._execution is not None, "it has a place"
        self.began_us = self._events.now_us
        self._execution.train(math.inf if self.job.iterations is None else self.job.iterations)

    def _done(self) -> None:
        assert self._execution is not None, "it has trained"
        self.done_us = self._events.now_us
        self._done_iterations = self._execution.progress
        self._execution.leave()
        self._execution = None
        self._cluster.leave(self._demand, self._gpus)
