"""FaST-GShare's rule: a fixed partition, its limit, and time tokens for tenants whose partitions do not fit at once.

Until the next call those tenants run whose limits fit into the GPU together, the one that is owed most first, so that a
turn lasts as long as a tick. `counter` is what a tenant is owed, in milli-GPU microseconds: it earns its request while
it has work, and pays what it is granted.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import NEXT_TICK_US, WHOLE_MILLI, Grants, VerticalInputs, VerticalState
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy

_MAX_OWED: Final = 100_000 * WHOLE_MILLI
"""One window of 100 ms. A tenant that waited longer does not take the GPU for as long."""


def fast_gshare(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant each tenant its limit or nothing, so that over time it has at least its request."""
    work, request = inputs.work, inputs.request_milli
    grants = [0] * len(work)
    change_us: int | None = None
    owed = [
        min(owed + request[place] * elapsed_us, _MAX_OWED) if work[place] else 0
        for place, owed in enumerate(state.counter)
    ]
    for gpu in range(len(inputs.first) - 1):
        places = [place for place in range(inputs.first[gpu], inputs.first[gpu + 1]) if work[place]]
        places.sort(key=lambda place: (-owed[place], place))
        if not _grant(inputs.limit_milli, grants, places):
            change_us = NEXT_TICK_US
    state.counter = [max(-_MAX_OWED, due - paid * elapsed_us) for due, paid in zip(owed, grants, strict=True)]
    state.granted_milli = grants
    return Grants(grants, change_us)


def _grant(limit: list[int], grants: list[int], places: list[int]) -> bool:
    """Grant the limits that fit, in that order; return whether all did."""
    left = WHOLE_MILLI
    for place in places:
        if limit[place] <= left:
            grants[place] = limit[place]
            left -= limit[place]
    return all(grants[place] for place in places)


FAST_GSHARE: Final = VerticalPolicy(name="fast-gs", decide=fast_gshare)
