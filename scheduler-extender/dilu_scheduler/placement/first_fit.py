"""First-fit rules: the first GPUs with room, in order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dilu_scheduler.placement.books import Books, Demand


class FirstFit:
    """Return the first GPUs with room, of one node where one node has enough."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """Return the first ones in order."""
        request, limit, booked = books.request_milli, books.limit_milli, books.booked_mib
        max_request = books.omega_milli - demand.request_milli
        max_limit = books.gamma_milli - demand.limit_milli
        max_mib = books.memory_mib - demand.memory_mib
        fitting = (
            gpu
            for gpu, milli in enumerate(request)
            if milli <= max_request and limit[gpu] <= max_limit and booked[gpu] <= max_mib
        )
        return _first(fitting, demand, books)


class Exclusive:
    """Return the first empty GPUs: every replica has its own."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """Return the first ones in order."""
        fitting = (gpu for gpu, tenants in enumerate(books.tenants) if not tenants and books.has_room(gpu, demand))
        return _first(fitting, demand, books)


class FirstFitByLimit:
    """First fit where limits are booked as if they were requests, as a platform of fixed shares has to."""

    def choose(self, demand: Demand, books: Books) -> Sequence[int] | None:
        """Return the first ones in order, on which Σ limit ≤ Ω."""
        max_limit = books.omega_milli - demand.limit_milli
        fitting = (
            gpu for gpu, milli in enumerate(books.limit_milli) if milli <= max_limit and books.has_room(gpu, demand)
        )
        return _first(fitting, demand, books)


def _first(fitting: Iterable[int], demand: Demand, books: Books) -> list[int] | None:
    """Return the first of these GPUs, all of one node unless every node has fewer than the demand."""
    one_node = demand.gpus <= books.gpus_per_node
    found: list[int] = []
    for gpu in fitting:
        if one_node and found and gpu // books.gpus_per_node != found[0] // books.gpus_per_node:
            found = []
        found.append(gpu)
        if len(found) == demand.gpus:
            return found
    return None
