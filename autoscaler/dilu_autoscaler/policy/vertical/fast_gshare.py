"""FaST-GShare's rule: a fixed partition, its limit, and time tokens for those whose partitions do not fit at once.

In each tick those run whose limits fit into the GPU together, the one that is owed most first. `counter` is what a
tenant is owed: it earns its request in every tick in which it has work, and pays what it is granted.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI, QuotaInputs, QuotaState

_MOST_OWED_MILLI: Final = 20 * WHOLE_MILLI
"""Of ticks: one window of 100 ms. Who was kept waiting for longer does not take the GPU for as long."""


def time_tokens(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """Each tenant's limit or nothing, so that over time each has its request at least."""
    work, request, limit = inputs.work, inputs.request_milli, inputs.limit_milli
    grants = [0] * len(work)
    owed = [
        min(owed + request[place] * ticks, _MOST_OWED_MILLI) if work[place] else 0
        for place, owed in enumerate(state.counter)
    ]
    for gpu in range(len(inputs.first) - 1):
        places = [place for place in range(inputs.first[gpu], inputs.first[gpu + 1]) if work[place]]
        places.sort(key=lambda place: (-owed[place], place))
        left = WHOLE_MILLI
        for place in places:
            if limit[place] <= left:
                grants[place] = limit[place]
                left -= limit[place]
    state.counter = [max(-_MOST_OWED_MILLI, due - paid * ticks) for due, paid in zip(owed, grants, strict=True)]
    state.granted_milli = grants
    return grants
