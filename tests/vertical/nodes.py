"""Nodes for the tests of the vertical policies."""

from __future__ import annotations

from hypothesis import strategies as st

from dilu_autoscaler.policy.vertical import VerticalInputs

LATE_US = -20_000


def one_gpu(
    *,
    request: list[int],
    limit: list[int],
    work: list[int],
    sensitive: list[int] | None = None,
    slack_us: list[int] | None = None,
    cycle_us: list[int] | None = None,
    min_cycle_us: list[int] | None = None,
) -> VerticalInputs:
    """Return one GPU with these tenants; by default all are sensitive and in time."""
    return VerticalInputs(
        first=[0, len(work)],
        request_milli=request,
        limit_milli=limit,
        sensitive=[1] * len(work) if sensitive is None else sensitive,
        work=work,
        slack_us=[50_000] * len(work) if slack_us is None else slack_us,
        cycle_us=[0] * len(work) if cycle_us is None else cycle_us,
        min_cycle_us=[0] * len(work) if min_cycle_us is None else min_cycle_us,
    )


@st.composite
def nodes(draw: st.DrawFn, max_gpus: int = 3) -> VerticalInputs:
    """Draw nodes whose requests fit into each GPU, as a scheduler places them."""
    first, request, limit = [0], list[int](), list[int]()
    for _ in range(draw(st.integers(min_value=1, max_value=max_gpus))):
        left = 1000
        for _ in range(draw(st.integers(min_value=0, max_value=5))):
            if left == 0:
                break
            request.append(draw(st.integers(min_value=1, max_value=left)))
            left -= request[-1]
            limit.append(draw(st.integers(min_value=request[-1], max_value=1000)))
        first.append(len(request))
    tenants = len(request)
    bits = st.lists(st.integers(min_value=0, max_value=1), min_size=tenants, max_size=tenants)
    times = st.lists(st.integers(min_value=0, max_value=300_000), min_size=tenants, max_size=tenants)
    slacks = st.lists(st.integers(min_value=-300_000, max_value=300_000), min_size=tenants, max_size=tenants)
    return VerticalInputs(
        first=first,
        request_milli=request,
        limit_milli=limit,
        sensitive=draw(bits),
        work=draw(bits),
        slack_us=draw(slacks),
        cycle_us=draw(times),
        min_cycle_us=draw(times),
    )


@st.composite
def histories(draw: st.DrawFn) -> list[VerticalInputs]:
    """Draw several moments of the same tenants, whose work changes."""
    node = draw(nodes())
    tenants = len(node.work)
    bits = st.lists(st.integers(min_value=0, max_value=1), min_size=tenants, max_size=tenants)
    slacks = st.lists(st.integers(min_value=-300_000, max_value=300_000), min_size=tenants, max_size=tenants)
    times = st.lists(st.integers(min_value=0, max_value=300_000), min_size=tenants, max_size=tenants)
    return [
        VerticalInputs(
            first=node.first,
            request_milli=node.request_milli,
            limit_milli=node.limit_milli,
            sensitive=node.sensitive,
            work=draw(bits),
            slack_us=draw(slacks),
            cycle_us=draw(times),
            min_cycle_us=node.min_cycle_us,
        )
        for _ in range(draw(st.integers(min_value=1, max_value=8)))
    ]


def gpus_of(inputs: VerticalInputs) -> list[range]:
    """Return the places of each GPU's tenants."""
    return [range(begin, end) for begin, end in zip(inputs.first, inputs.first[1:], strict=False)]
