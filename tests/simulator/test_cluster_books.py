"""What a simulated cluster books: caps hold at every moment, and the books return to zero."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from dilu.spec import Kind
from dilu_autoscaler.policy.vertical import vertical_policy_named
from dilu_scheduler.placement import PLACEMENTS, Books, Demand, placement_named
from dilu_simulator.devices.cluster import Cluster
from dilu_simulator.event_queue import EventQueue
from dilu_simulator.run import books_for
from dilu_simulator.scenario import ClusterSize

SIZE = ClusterSize(nodes=2, gpus_per_node=2, gpu_memory_mib=100)


def demand(request: int, limit: int, memory: int, gpus: int = 1) -> Demand:
    return Demand(
        function="any",
        kind=Kind.INFERENCE,
        gpus=gpus,
        request_milli=request,
        limit_milli=max(request, limit),
        memory_mib=memory,
    )


DEMANDS = st.builds(
    demand,
    st.integers(min_value=1, max_value=1000),
    st.integers(min_value=1, max_value=1000),
    st.integers(min_value=1, max_value=100),
    st.integers(min_value=1, max_value=4),
)


def check(books: Books) -> None:
    assert max(books.request_milli) <= books.omega_milli
    assert max(books.limit_milli) <= books.gamma_milli
    assert max(books.booked_mib) <= books.memory_mib
    assert min(*books.request_milli, *books.limit_milli, *books.booked_mib, *books.tenants) >= 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(DEMANDS, st.booleans()), max_size=40), st.sampled_from(sorted(PLACEMENTS)))
def test_no_gpu_is_ever_booked_beyond_its_caps_and_the_books_return_to_zero(
    steps: list[tuple[Demand, bool]], name: str
) -> None:
    books = books_for(SIZE)
    cluster = Cluster(books, placement_named(name), vertical_policy_named("dilu"), EventQueue())
    placed = []
    for asked, leaves in steps:
        gpus = cluster.place(asked)
        if gpus is not None:
            assert len({gpu.number for gpu in gpus}) == asked.gpus
            placed.append((asked, gpus))
        check(books)
        if leaves and placed:
            cluster.leave(*placed.pop(0))
            check(books)
    for asked, gpus in placed:
        cluster.leave(asked, gpus)
    assert not any((*books.request_milli, *books.limit_milli, *books.booked_mib, *books.tenants))
