"""What a simulated function is, and what it needs of the world around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dilu.batching import ExecutionFit, ExecutionModel
from dilu.spec import FunctionSpec
from dilu_simulator.replicas import BatchRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSetting:
    """What a simulated function is, besides its spec."""

    spec: FunctionSpec
    fit: ExecutionFit
    """What a replica knows of how long its batches take."""
    learned: ExecutionModel | None = None
    """What a replica's warm-up has taught it, where it continues to learn. None: there is nothing to learn."""
    request_slo_s: float | None = None
    """The objective of a whole request, by which batches close and requests are refused. None: as the spec says."""
    cold_start_us: int
    warm_replicas: int = 0
    """Ready when the simulation begins; they are no cold starts."""
    ends_us: int
    """Replica time is counted up to here."""
    admits_by_slo: bool = True
    """Whether a replica refuses at once what it would answer after the objective. Else requests wait, however long."""


class ReplicaPlaces(Protocol):
    """Where replicas run."""

    def place(self, spec: FunctionSpec) -> BatchRunner | None:
        """Return a place for one more replica; None if there is no room now."""
        ...

    def leave(self, execution: BatchRunner) -> None:
        """Free the place of a replica that has ended."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopPokes:
    """Callbacks that tell the loop of a change between two samples."""

    now: Callable[[], None]
    """A request waits, a replica became ready or has ended."""
    at_next_second: Callable[[], None]
    """A quiet function was called again."""
