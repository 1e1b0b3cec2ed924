"""TGS' rule: one productive tenant a GPU has all that it can use; the others share what does not slow it down.

The productive one is the first whose latency counts, else the first. Its speed is what its launch cycle tells: the
least cycle over the last one. While it is within 3 % of its best, the others' rate grows by half a window; else it
shrinks, and from then on it grows little by little. `mode` is the others' share in millionths of a GPU, and `owner` is
-1 before the first slow-down and -2 after it; `counter` counts the ticks of the present window.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI, QuotaInputs, QuotaState

_WINDOW_TICKS: Final = 10
"""50 ms."""
_FIRST, _MOST, _STEP = 2_000, 1_000_000, 1_000
"""Millionths of a GPU: 20,000 blocks of ten million, and a thousandth as the step."""
_SLOW_START, _AVOIDANCE = -1, -2


def opportunistic(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """The productive tenant's limit, and to each of the others its part of a rate that is found by trying."""
    grants = [0] * len(inputs.work)
    for gpu in range(len(inputs.first) - 1):
        begin, end = inputs.first[gpu], inputs.first[gpu + 1]
        if begin == end:
            continue
        productive = next((place for place in range(begin, end) if inputs.sensitive[place]), begin)
        state.counter[productive] += ticks
        while state.counter[productive] >= _WINDOW_TICKS:
            state.counter[productive] -= _WINDOW_TICKS
            _adjust(state, gpu, _is_slowed(inputs, productive), has_work=bool(inputs.work[productive]))
        _grant(inputs, grants, (begin, end), productive, (state.mode[gpu] or _FIRST) // 1000)
    state.granted_milli = grants
    return grants


def _is_slowed(inputs: QuotaInputs, place: int) -> bool:
    """Whether its last cycle took over 3 % longer than its best."""
    return inputs.cycle_us[place] * 97 > inputs.least_cycle_us[place] * 100 > 0


def _adjust(state: QuotaState, gpu: int, is_slowed: bool, *, has_work: bool) -> None:
    rate = state.mode[gpu] or _FIRST
    if not has_work or not is_slowed:
        rate = rate * 3 // 2 if state.owner[gpu] == _SLOW_START else rate + _STEP
    elif state.owner[gpu] == _SLOW_START:
        rate, state.owner[gpu] = rate * 2 // 3, _AVOIDANCE
    else:
        rate = rate * 92 // 100
    state.mode[gpu] = min(_MOST, max(_STEP, rate))


def _grant(inputs: QuotaInputs, grants: list[int], span: tuple[int, int], productive: int, rate_milli: int) -> None:
    others = [place for place in range(*span) if place != productive and inputs.work[place]]
    own = inputs.limit_milli[productive] if inputs.work[productive] else 0
    rate = min(rate_milli, WHOLE_MILLI - own if own else WHOLE_MILLI)
    for place in others:
        grants[place] = min(inputs.limit_milli[place], rate // len(others))
    grants[productive] = own
