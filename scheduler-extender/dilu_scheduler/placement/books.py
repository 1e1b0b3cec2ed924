"""What a replica demands, what is booked on each GPU, and the port that every placement rule fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dilu.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one replica asks for, on each of its GPUs."""

    function: str
    kind: Kind
    gpus: int
    request_milli: int
    limit_milli: int
    memory_mib: int
    affinity_group: str | None = None


@dataclass(slots=True, kw_only=True)
class Books:
    """What is booked on each GPU: flat columns. GPU g is on node g // gpus_per_node."""

    gpus_per_node: int
    memory_mib: int
    """Of one GPU."""
    omega_milli: int
    """The most that requests may add up to."""
    gamma_milli: int
    """The most that limits may add up to."""
    request_milli: list[int]
    limit_milli: list[int]
    booked_mib: list[int]
    tenants: list[int]

    def has_room(self, gpu: int, demand: Demand) -> bool:
        """Whether one more fits: Σ request ≤ Ω, Σ limit ≤ γ, Σ memory ≤ M."""
        return (
            self.request_milli[gpu] + demand.request_milli <= self.omega_milli
            and self.limit_milli[gpu] + demand.limit_milli <= self.gamma_milli
            and self.booked_mib[gpu] + demand.memory_mib <= self.memory_mib
        )


class Placement(Protocol):
    """Chooses GPUs; it books nothing itself."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """As many different GPUs as asked for, with room on each. None: there is no room now."""
        ...
