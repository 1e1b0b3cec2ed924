"""What a replica demands, what is booked on each GPU, and the protocol of a placement rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from dilu.spec import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What one replica demands on each of its GPUs."""

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
    """Ω: the largest sum of requests on a GPU."""
    gamma_milli: int
    """γ: the largest sum of limits on a GPU."""
    request_milli: list[int]
    limit_milli: list[int]
    booked_mib: list[int]
    tenants: list[int]

    def has_room(self, gpu: int, demand: Demand) -> bool:
        """Tell whether one more fits: Σ request ≤ Ω, Σ limit ≤ γ, Σ memory ≤ M."""
        return (
            self.request_milli[gpu] + demand.request_milli <= self.omega_milli
            and self.limit_milli[gpu] + demand.limit_milli <= self.gamma_milli
            and self.booked_mib[gpu] + demand.memory_mib <= self.memory_mib
        )


class Placement(Protocol):
    """A rule that chooses GPUs; the caller books them."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """Return as many different GPUs as demanded, each with room. None: there is no room now."""
        ...
