"""First-fit rules: the first GPUs with room, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dilu_scheduler.placement.books import Books, Demand


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
