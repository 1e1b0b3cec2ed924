"""Where a replica goes: the port that a scheduler fills, and the plainest ways to fill it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dilu.errors import ConfigError
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


class FirstFit:
    """The first GPUs with room, of one node where one node has so many."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """The first ones in order."""
        request, limit, booked = books.request_milli, books.limit_milli, books.booked_mib
        most_request = books.omega_milli - demand.request_milli
        most_limit = books.gamma_milli - demand.limit_milli
        most_mib = books.memory_mib - demand.memory_mib
        fitting = (
            gpu
            for gpu, milli in enumerate(request)
            if milli <= most_request and limit[gpu] <= most_limit and booked[gpu] <= most_mib
        )
        return _first(fitting, demand, books)


class Exclusive:
    """The first GPUs that nobody is on: every replica has its own."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """The first ones in order."""
        fitting = (gpu for gpu, tenants in enumerate(books.tenants) if not tenants and books.has_room(gpu, demand))
        return _first(fitting, demand, books)


class FirstFitByLimit:
    """First fit where limits are booked as if they were requests, as a platform of fixed shares has to."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """The first ones in order, on which Σ limit ≤ Ω."""
        most_limit = books.omega_milli - demand.limit_milli
        fitting = (
            gpu for gpu, milli in enumerate(books.limit_milli) if milli <= most_limit and books.has_room(gpu, demand)
        )
        return _first(fitting, demand, books)


def _first(fitting: Iterable[int], demand: Demand, books: Books) -> list[int] | None:
    """The first of these GPUs, and all of one node unless a node has fewer than are asked for."""
    one_node = demand.gpus <= books.gpus_per_node
    found: list[int] = []
    for gpu in fitting:
        if one_node and found and gpu // books.gpus_per_node != found[0] // books.gpus_per_node:
            found = []
        found.append(gpu)
        if len(found) == demand.gpus:
            return found
    return None


PLACEMENTS: Final[dict[str, Placement]] = {
    "exclusive": Exclusive(),
    "first-fit": FirstFit(),
    "first-fit-by-limit": FirstFitByLimit(),
}


def placement_named(name: str) -> Placement:
    """The placement of that name; raises `ConfigError` with the names there are."""
    try:
        return PLACEMENTS[name]
    except KeyError:
        raise ConfigError(f"placement = {name!r}, must be one of: {', '.join(sorted(PLACEMENTS))}") from None
