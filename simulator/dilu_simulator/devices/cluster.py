"""All GPUs of a simulation, what is booked on them, and which functions wait for room."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dilu_autoscaler.policy.vertical import VerticalPolicy
from dilu_scheduler.placement import Books, Demand, Placement
from dilu_simulator.devices.gpus import Gpu
from dilu_simulator.event_queue import US_PER_S, EventQueue, Order

Retry = Callable[[], bool]
"""Tries to place again; returns whether a replica still waits after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterTotals:
    """How all GPUs together were used up to a moment."""

    whole_gpu_seconds: float
    """GPUs with a tenant x time."""
    max_gpus: int
    sm_fragmentation_ratio: float | None
    """Time mean over the GPUs in use of the share that no request books. None: none was in use."""
    memory_fragmentation_ratio: float | None


class Cluster:
    """Books GPUs by a placement, and creates a GPU when a replica is first placed on it."""

    def __init__(self, books: Books, placement: Placement, vertical: VerticalPolicy, events: EventQueue) -> None:
        self.books = books
        self.vertical = vertical
        self._placement = placement
        self._events = events
        self._gpus: dict[int, Gpu] = {}
        self._waiting: dict[str, Retry] = {}
        self._retries = False
        self._images: set[tuple[int, str]] = set()
        # GPUs in use now and what is booked on them, and all of it summed over time.
        self._used = self._request = self._mib = 0
        self._used_us = self._request_us = self._mib_us = 0
        self._max_used = 0
        self._since_us = 0

    def place(self, demand: Demand) -> Sequence[Gpu] | None:
        """Book and return the GPUs for one more replica; None if there is no room now."""
        numbers = self._placement.choose(demand, self.books)
        if numbers is None:
            return None
        self._book(demand, numbers, 1)
        return [self._gpu(number) for number in numbers]

    def leave(self, demand: Demand, gpus: Sequence[Gpu]) -> None:
        """Remove a replica that has ended; replicas that wait for room try again at the same moment."""
        self._book(demand, [gpu.number for gpu in gpus], -1)
        if self._waiting and not self._retries:
            self._retries = True
            self._events.at(self._events.now_us, Order.GRANTED, self._retry)

    def wait(self, name: str, retry: Retry) -> None:
        """Call `retry` when room has become free, after those that waited before."""
        self._waiting.setdefault(name, retry)

    def pulls_image(self, name: str, gpus: Sequence[Gpu]) -> bool:
        """Tell whether the node lacks the image of that function; from now on it has it."""
        key = gpus[0].number // self.books.gpus_per_node, name
        if key in self._images:
            return False
        self._images.add(key)
        return True

    def totals(self) -> ClusterTotals:
        """Return the totals up to now."""
        self._settle()
        used_us = self._used_us
        return ClusterTotals(
            whole_gpu_seconds=used_us / US_PER_S,
            max_gpus=self._max_used,
            sm_fragmentation_ratio=1.0 - self._request_us / (1000 * used_us) if used_us else None,
            memory_fragmentation_ratio=1.0 - self._mib_us / (self.books.memory_mib * used_us) if used_us else None,
        )

    def _retry(self) -> None:
        self._retries = False
        for name, retry in list(self._waiting.items()):
            if not retry():
                del self._waiting[name]

    def _gpu(self, number: int) -> Gpu:
        gpu = self._gpus.get(number)
        if gpu is None:
            gpu = self._gpus[number] = Gpu(number, self.vertical, self._events)
        return gpu

    def _book(self, demand: Demand, numbers: Sequence[int], sign: int) -> None:
        self._settle()
        books = self.books
        for number in numbers:
            before = books.tenants[number]
            books.request_milli[number] += sign * demand.request_milli
            books.limit_milli[number] += sign * demand.limit_milli
            books.booked_mib[number] += sign * demand.memory_mib
            books.tenants[number] = before + sign
            self._used += (books.tenants[number] > 0) - (before > 0)
        self._request += sign * demand.request_milli * len(numbers)
        self._mib += sign * demand.memory_mib * len(numbers)
        self._max_used = max(self._max_used, self._used)

    def _settle(self) -> None:
        passed_us = self._events.now_us - self._since_us
        self._since_us = self._events.now_us
        self._used_us += self._used * passed_us
        self._request_us += self._request * passed_us
        self._mib_us += self._mib * passed_us
