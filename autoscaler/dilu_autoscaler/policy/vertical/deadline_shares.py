"""Dilu's own vertical rule: the request is sure, the rest follows deadlines, and nothing lies idle that is of use.

Of each GPU, in every tick:

1. who has work gets its request, at once;
2. what is left (idle requests included) goes first to those that will be late, then to all that have work, in
   proportion to their requests and never beyond their limits;
3. who has more than its new share loses at most `STEP_MILLI` of it in a tick, so that two tenants that are late in
   turn do not throw the GPU to and fro. Rule 1 comes first: a request is given back whole.

It needs nothing that has to be measured first: no profile of launch cycles, only what the queues know.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI, QuotaInputs, QuotaState

STEP_MILLI: Final = 100


def deadline_shares(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """What each tenant may use until the next tick; none is below its request while it has work."""
    first, work, request, limit = inputs.first, inputs.work, inputs.request_milli, inputs.limit_milli
    last = state.granted_milli
    grants = [0] * len(work)
    for gpu in range(len(first) - 1):
        busy = [place for place in range(first[gpu], first[gpu + 1]) if work[place]]
        if not busy:
            continue
        if len(busy) == 1:
            place = busy[0]
            grants[place] = min(limit[place], WHOLE_MILLI)
            continue
        needed = sum([request[place] for place in busy])
        if needed >= WHOLE_MILLI:
            for place in busy:
                grants[place] = request[place] * WHOLE_MILLI // needed
            continue
        extra = _extras(inputs, busy, WHOLE_MILLI - needed)
        had = [min(max(0, last[place] - request[place]), limit[place] - request[place]) for place in busy]
        for place, more in zip(busy, _calmed(extra, had, WHOLE_MILLI - needed), strict=True):
            grants[place] = request[place] + more
    state.granted_milli = grants
    return grants


def _extras(inputs: QuotaInputs, busy: list[int], pool: int) -> list[int]:
    """How much each gets on top of its request: the late ones first, then all."""
    request, limit = inputs.request_milli, inputs.limit_milli
    room = [limit[place] - request[place] for place in busy]
    weight = [request[place] for place in busy]
    late = [index for index, place in enumerate(busy) if inputs.sensitive[place] and inputs.slack_us[place] < 0]
    extra = [0] * len(busy)
    if late and len(late) < len(busy):
        pool = _pour(extra, room, weight, late, pool)
    _pour(extra, room, weight, range(len(busy)), pool)
    return extra


def _pour(extra: list[int], room: list[int], weight: list[int], which: list[int] | range, pool: int) -> int:
    """Share the pool out in proportion to the weights, up to the room of each; returns what is left."""
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


def _calmed(extra: list[int], had: list[int], pool: int) -> list[int]:
    """The extras, with no loss beyond the step, unless the pool has become too small for that."""
    kept = [max(more, before - STEP_MILLI) for more, before in zip(extra, had, strict=True)]
    excess = sum(kept) - min(pool, sum(extra))
    if excess <= 0:
        return extra
    # What the slow losers keep is missing to those that gain; none of these loses what it had before.
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
