"""Where the replicas of one function run: GPUs that they share with others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dilu.spec import FunctionSpec
from dilu_scheduler.placement import Demand
from dilu_simulator.devices.batch_executions import BatchExecution, BatchWork
from dilu_simulator.devices.cluster import Cluster
from dilu_simulator.devices.executions import Execution, Usage
from dilu_simulator.devices.gpus import Gpu
from dilu_simulator.devices.llm_executions import LlmExecution, LlmWork
from dilu_simulator.event_queue import EventQueue


class GpuPlaces:
    """The GPUs of one function's replicas, as they come and go."""

    def __init__(self, cluster: Cluster, events: EventQueue, demand: Demand, work: BatchWork, image_us: int) -> None:
        self.usage = Usage()
        self.retry: Callable[[], bool] = _no_request_waits
        """Called when room has become free; returns whether a replica still waits after that."""
        self._cluster = cluster
        self._events = events
        self._demand = demand
        self._work = work
        self._image_us = image_us
        self._gpus: dict[Execution, Sequence[Gpu]] = {}

    def place(self, spec: FunctionSpec) -> BatchExecution | None:
        """Return a place for one more replica; None if there is no room now: `retry` is called when there may be."""
        gpus = self._cluster.place(self._demand)
        if gpus is None:
            self._cluster.wait(self._demand.function, self._try_again)
            return None
        pulls = bool(self._image_us) and self._cluster.pulls_image(self._demand.function, gpus)
        execution = self._new_execution(self._image_us if pulls else 0)
        self._gpus[execution] = gpus
        join_all(execution, gpus, self._demand, sensitive=True)
        return execution

    def leave(self, execution: object) -> None:
        """Free the place of a replica that has ended."""
        assert isinstance(execution, BatchExecution), "it was placed here"
        gpus = self._gpus.pop(execution)
        execution.leave()
        self._cluster.leave(self._demand, gpus)

    def settle(self) -> None:
        """Record what was granted until now."""
        for execution in self._gpus:
            execution.settle()

    def _try_again(self) -> bool:
        return self.retry()

    def _new_execution(self, delay_us: int) -> BatchExecution:
        if isinstance(self._work, LlmWork):
            return LlmExecution(self._events, self.usage, self._work, delay_us)
        return BatchExecution(self._events, self.usage, self._work, delay_us)


def join_all(execution: Execution, gpus: Sequence[Gpu], demand: Demand, *, sensitive: bool) -> None:
    """Run an execution on these GPUs from now on."""
    for gpu in gpus:
        tenant = gpu.join(
            execution, request_milli=demand.request_milli, limit_milli=demand.limit_milli, sensitive=sensitive
        )
        execution.tenants.append(tenant)


def _no_request_waits() -> bool:
    return False
