"""What a vertical policy sees and remembers, as columns of whole numbers.

The tenants of GPU g are the places `first[g]` to `first[g + 1] - 1` of every tenant column; `first` therefore has one
entry more than there are GPUs. A tenant is one replica on one GPU: a replica on four GPUs is four tenants.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

WHOLE_MILLI: Final = 1000
"""One GPU."""
TICK_US: Final = 5000
"""What one tick is for policies that count them."""


@dataclass(slots=True, kw_only=True)
class QuotaInputs:
    """One node at one moment. The lists are the caller's: a policy reads them and keeps none."""

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
    """How long its last launch cycle took: one batch, or one training iteration. 0: not known."""
    least_cycle_us: list[int]
    """The least that a cycle of its has taken, or takes by its profile. 0: not known."""


@dataclass(slots=True, kw_only=True)
class QuotaState:
    """What a policy remembers from tick to tick. Each policy says what the last three columns mean for it."""

    granted_milli: list[int]
    """Per tenant: what was granted last."""
    idle_ticks: list[int]
    """Per tenant: for how long it has been idle."""
    counter: list[int]
    """Per tenant."""
    mode: list[int]
    """Per GPU."""
    owner: list[int]
    """Per GPU."""


def first_quota_state(gpus: int, tenants: int = 0) -> QuotaState:
    """The memory of a node that is looked at for the first time."""
    return QuotaState(
        granted_milli=[0] * tenants,
        idle_ticks=[0] * tenants,
        counter=[0] * tenants,
        mode=[0] * gpus,
        owner=[-1] * gpus,
    )


def with_tenant(state: QuotaState, place: int) -> None:
    """Make room in every tenant column for one that came to that place."""
    for column in (state.granted_milli, state.idle_ticks, state.counter):
        column.insert(place, 0)
    state.owner[:] = [owner + (owner >= place) for owner in state.owner]


def without_tenant(state: QuotaState, place: int) -> None:
    """Close the gap of one that left that place; a mode that it owned is over."""
    for column in (state.granted_milli, state.idle_ticks, state.counter):
        del column[place]
    for gpu, owner in enumerate(state.owner):
        if owner == place:
            state.owner[gpu], state.mode[gpu] = -1, 0
        elif owner > place:
            state.owner[gpu] = owner - 1


def fit_into_gpu(grants: list[int], begin: int, end: int) -> None:
    """Shrink the grants of one GPU in proportion where they are more than it has.

    Limits may add up to more than one GPU. A device then shares what it has by what each could use.
    """
    total = sum(grants[begin:end])
    if total > WHOLE_MILLI:
        for place in range(begin, end):
            grants[place] = grants[place] * WHOLE_MILLI // total


def idle_after(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """For how long each tenant has been idle, after so many more ticks."""
    return [0 if work else idle + ticks for work, idle in zip(inputs.work, state.idle_ticks, strict=True)]
