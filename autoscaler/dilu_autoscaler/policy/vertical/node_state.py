"""What a vertical policy sees, remembers and answers, as columns of whole numbers.

The tenants of GPU g are the places `first[g]` to `first[g + 1] - 1` of every tenant column; `first` therefore has one
entry more than there are GPUs. A tenant is one replica on one GPU: a replica on four GPUs is four tenants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

WHOLE_MILLI: Final = 1000
"""One GPU."""
NEXT_TICK_US: Final = 1
"""A change that is due at the next tick, however soon that is."""


@dataclass(slots=True, kw_only=True)
class VerticalInputs:
    """One node at one moment. The lists belong to the caller: a policy reads them and keeps none."""

    first: list[int]
    request_milli: list[int]
    limit_milli: list[int]
    sensitive: list[int]
    """1: its latency counts. 0: training."""
    work: list[int]
    """1: it has something to run. 0: it is idle."""
    slack_us: list[int]
    """How much later than expected its oldest request may be answered; negative: it will be late."""
    cycle_us: list[int]
    """Duration of its last launch cycle: one batch, or one training iteration. 0: unknown."""
    min_cycle_us: list[int]
    """Its shortest cycle so far, or by its profile. 0: unknown."""


@dataclass(slots=True, kw_only=True)
class VerticalState:
    """What a policy remembers from call to call. Each policy states what the last four columns mean for it."""

    granted_milli: list[int]
    """Per tenant: the last grant."""
    idle_us: list[int]
    """Per tenant: how long it has been idle."""
    counter: list[int]
    """Per tenant."""
    mode: list[int]
    """Per GPU."""
    owner: list[int]
    """Per GPU."""
    step_us: list[int]
    """Per GPU."""


class Grants(NamedTuple):
    """The answer of a policy."""

    milli: list[int]
    """Per tenant: its share until the next call."""
    next_change_us: int | None
    """Time until a grant could change if every input stays as it is. None: never."""


def initial_state(gpus: int, tenants: int = 0) -> VerticalState:
    """Return the memory of a node before the first call."""
    return VerticalState(
        granted_milli=[0] * tenants,
        idle_us=[0] * tenants,
        counter=[0] * tenants,
        mode=[0] * gpus,
        owner=[-1] * gpus,
        step_us=[0] * gpus,
    )


def with_tenant(state: VerticalState, place: int) -> None:
    """Insert a new tenant at that place into every tenant column."""
    for column in (state.granted_milli, state.idle_us, state.counter):
        column.insert(place, 0)
    state.owner[:] = [owner + (owner >= place) for owner in state.owner]


def without_tenant(state: VerticalState, place: int) -> None:
    """Delete the tenant at that place from every tenant column; a mode that it owned ends."""
    for column in (state.granted_milli, state.idle_us, state.counter):
        del column[place]
    for gpu, owner in enumerate(state.owner):
        if owner == place:
            state.owner[gpu], state.mode[gpu] = -1, 0
        elif owner > place:
            state.owner[gpu] = owner - 1


def fit_into_gpu(grants: list[int], begin: int, end: int) -> None:
    """Shrink the grants of one GPU in proportion where they exceed it.

    Limits may add up to more than one GPU. A device then divides its time by what each tenant could use.
    """
    total = sum(grants[begin:end])
    if total > WHOLE_MILLI:
        for place in range(begin, end):
            grants[place] = grants[place] * WHOLE_MILLI // total


def sooner(one_us: int | None, other_us: int | None) -> int | None:
    """Return the shorter of two times until a change; None is never."""
    if one_us is None or other_us is None:
        return one_us if other_us is None else other_us
    return min(one_us, other_us)
