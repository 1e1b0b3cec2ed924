"""Dilu's own vertical rule: the request is guaranteed, the rest follows deadlines, and no useful share lies idle.

On each GPU, at every call:

1. A tenant with work gets its request, at once.
2. What is left (idle requests included) goes first to the tenants that will be late, then to all that have work, in
   proportion to their requests and never beyond their limits.
3. A tenant that has more than its new share loses at most `STEP_MILLI` of it per 5 ms, so that two tenants that are
   late in turn do not throw the GPU back and forth. Rule 1 comes first: a request is restored whole.

The rule needs nothing that must be measured first: no profile of launch cycles, only what the queues know.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import NEXT_TICK_US, WHOLE_MILLI, Grants, VerticalInputs, VerticalState
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy

STEP_MILLI: Final = 100
STEP_US: Final = 5_000


def deadline_shares(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant each tenant its share until the next call, at least its request while it has work."""
    first, work, request, limit = inputs.first, inputs.work, inputs.request_milli, inputs.limit_milli
    last = state.granted_milli
    step_milli = STEP_MILLI * (elapsed_us or STEP_US) // STEP_US
    grants = [0] * len(work)
    change_us: int | None = None
    for gpu in range(len(first) - 1):
        begin, end = first[gpu], first[gpu + 1]
        busy = [place for place in range(begin, end) if work[place]]
        if not busy:
            continue
        if len(busy) == 1:
            place = busy[0]
            grants[place] = min(limit[place], WHOLE_MILLI)
            continue
        needed = sum([request[place] for place in busy])
        late = [index for index, place in enumerate(busy) if inputs.sensitive[place] and inputs.slack_us[place] < 0]
        if needed >= WHOLE_MILLI:
            for place in busy:
                grants[place] = request[place] * WHOLE_MILLI // needed
        else:
            extra = _extras(inputs, busy, late, WHOLE_MILLI - needed)
            had = [min(max(0, last[place] - request[place]), limit[place] - request[place]) for place in busy]
            for place, more in zip(busy, _calmed(extra, had, WHOLE_MILLI - needed, step_milli), strict=True):
                grants[place] = request[place] + more
        if late or grants[begin:end] != last[begin:end]:
            change_us = NEXT_TICK_US  # shares move, or the slack of the late ones does
    state.granted_milli = grants
    return Grants(grants, change_us)


def _extras(inputs: VerticalInputs, busy: list[int], late: list[int], pool: int) -> list[int]:
    """Return how much each gets on top of its request: the late ones first, then all."""
    request, limit = inputs.request_milli, inputs.limit_milli
    room = [limit[place] - request[place] for place in busy]
    weight = [request[place] for place in busy]
    extra = [0] * len(busy)
    if late and len(late) < len(busy):
        pool = _pour(extra, room, weight, late, pool)
    _pour(extra, room, weight, range(len(busy)), pool)
    return extra


def _pour(extra: list[int], room: list[int], weight: list[int], which: list[int] | range, pool: int) -> int:
    """Divide the pool in proportion to the weights, up to the room of each; return what is left."""
    open_ones = [index for index in which if extra[index] < room[index]]
    while pool > 0 and open_ones:
        total = sum([weight[index] for index in open_ones])
        given = 0
        for index in open_ones:
            part = min(room[index] - extra[index], pool * weight[index] // total)
            extra[index] += part
            given += part
        if not given:  # fewer units are left than there are tenants
            for index in open_ones[:pool]:
                extra[index] += 1
                pool -= 1
            return pool
        pool -= given
        open_ones = [index for index in open_ones if extra[index] < room[index]]
    return pool


def _calmed(extra: list[int], had: list[int], pool: int, step_milli: int) -> list[int]:
    """Return the extras with no loss beyond the step, unless the pool has become too small for that."""
    kept = [max(more, before - step_milli) for more, before in zip(extra, had, strict=True)]
    excess = sum(kept) - min(pool, sum(extra))
    if excess <= 0:
        return extra
    # What the losers keep is missing for those that gain; none of these loses what it had before.
    gains = [
        max(0, more - before) if keeps == more else 0 for keeps, more, before in zip(kept, extra, had, strict=True)
    ]
    total = sum(gains)
    if total < excess:
        return extra
    for index, gain in enumerate(gains):
        cut = min(gain, (excess * gain + total - 1) // total) if total else 0
        kept[index] -= cut
        excess -= cut
        total -= gain
    return kept


DEADLINE_SHARES: Final = VerticalPolicy(name="dilu", decide=deadline_shares, remembers_time=False)
