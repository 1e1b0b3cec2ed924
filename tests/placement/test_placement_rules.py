"""Which GPUs each placement rule chooses."""

from __future__ import annotations

import pytest

from dilu.errors import ConfigError
from dilu.spec import Kind
from dilu_scheduler.placement import PLACEMENTS, Books, Demand, placement_named


def demand(request: int, limit: int, memory: int, gpus: int = 1) -> Demand:
    return Demand(
        function="any",
        kind=Kind.INFERENCE,
        gpus=gpus,
        request_milli=request,
        limit_milli=max(request, limit),
        memory_mib=memory,
    )


def empty_books() -> Books:
    """Two nodes of two GPUs."""
    return Books(
        gpus_per_node=2,
        memory_mib=100,
        omega_milli=1000,
        gamma_milli=1500,
        request_milli=[0] * 4,
        limit_milli=[0] * 4,
        booked_mib=[0] * 4,
        tenants=[0] * 4,
    )


def places(name: str, *demands: Demand) -> list[list[int] | None]:
    """Choose for one demand after the other, and book what was chosen."""
    books, rule, found = empty_books(), placement_named(name), list[list[int] | None]()
    for asked in demands:
        chosen = rule.choose(asked, books)
        found.append(None if chosen is None else list(chosen))
        for gpu in chosen or ():
            books.request_milli[gpu] += asked.request_milli
            books.limit_milli[gpu] += asked.limit_milli
            books.booked_mib[gpu] += asked.memory_mib
            books.tenants[gpu] += 1
    return found


def test_first_fit_takes_the_first_gpu_with_room_for_share_limit_and_memory() -> None:
    asked = demand(400, 600, 30)
    assert places("first-fit", asked, asked, asked) == [[0], [0], [1]]
    assert places("first-fit", asked, demand(100, 1000, 1), demand(100, 800, 1)) == [[0], [1], [0]]
    assert places("first-fit", asked, demand(1, 1, 80)) == [[0], [1]]


def test_gpus_of_one_replica_are_on_one_node_where_one_node_has_enough() -> None:
    assert places("first-fit", demand(700, 700, 1), demand(700, 700, 1, gpus=2)) == [[0], [2, 3]]
    assert places("first-fit", demand(700, 700, 1, gpus=3), demand(700, 700, 1, gpus=3)) == [[0, 1, 2], None]


def test_exclusive_gives_each_replica_gpus_of_its_own() -> None:
    small = demand(10, 10, 1)
    assert places("exclusive", *[small] * 5) == [[0], [1], [2], [3], None]


def test_limits_can_be_booked_as_if_they_were_requests() -> None:
    asked = demand(300, 600, 1)
    assert places("first-fit", asked, asked) == [[0], [0]]
    assert places("first-fit-by-limit", asked, asked) == [[0], [1]]


def test_an_unknown_placement_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(
        ConfigError, match="placement = 'best', must be one of: exclusive, first-fit, first-fit-by-limit"
    ):
        placement_named("best")


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
def test_a_rule_chooses_and_books_nothing(name: str) -> None:
    books = empty_books()
    assert placement_named(name).choose(demand(500, 1000, 50, gpus=2), books) == [0, 1]
    assert books == empty_books()


@pytest.mark.parametrize("name", sorted(PLACEMENTS))
@pytest.mark.parametrize("too_much", [(1001, 1001, 1), (1, 1501, 1), (1, 1, 101)])
def test_a_demand_beyond_one_cap_alone_finds_no_room(name: str, too_much: tuple[int, int, int]) -> None:
    assert places(name, demand(*too_much)) == [None]
