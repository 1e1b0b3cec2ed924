"""TGS' rule: one productive tenant per GPU has all that it can use; the others share what does not slow it down.

The productive one is the first whose latency counts, else the first. Its launch cycles tell its speed: the shortest
cycle over the last one. At the end of each window of 50 ms the others' rate is adjusted. While the productive tenant
is within 3 % of its best speed, the rate grows by half; at the first slow-down it shrinks, and from then on it grows in
small steps. `mode` is the others' share in millionths of a GPU, and `owner` is -1 before the first slow-down and -2
after it; `counter` is the time of the productive tenant's present window in microseconds.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI, Grants, VerticalInputs, VerticalState, sooner
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy

WINDOW_US: Final = 50_000
_FIRST_RATE, _MAX_RATE, _RATE_STEP = 2_000, 1_000_000, 1_000
"""Millionths of a GPU: 20,000 blocks of ten million, and a thousandth as the step."""
_SLOW_START, _AVOIDANCE = -1, -2


def tgs(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant the productive tenant its limit, and each of the others its part of a rate that is found by trial."""
    grants, change_us = [0] * len(inputs.work), None
    for gpu in range(len(inputs.first) - 1):
        begin, end = inputs.first[gpu], inputs.first[gpu + 1]
        if begin == end:
            continue
        productive = next((place for place in range(begin, end) if inputs.sensitive[place]), begin)
        state.counter[productive] += elapsed_us
        while state.counter[productive] >= WINDOW_US:
            state.counter[productive] -= WINDOW_US
            _adjust(state, gpu, _is_slowed(inputs, productive), has_work=bool(inputs.work[productive]))
        _grant(inputs, grants, (begin, end), productive, (state.mode[gpu] or _FIRST_RATE) // 1000)
        if end - begin > 1 and any(inputs.work[begin:end]):
            change_us = sooner(change_us, WINDOW_US - state.counter[productive])
    state.granted_milli = grants
    return Grants(grants, change_us)


def _is_slowed(inputs: VerticalInputs, place: int) -> bool:
    """Tell whether the tenant's last cycle took over 3 % longer than its shortest."""
    return inputs.cycle_us[place] * 97 > inputs.min_cycle_us[place] * 100 > 0


def _adjust(state: VerticalState, gpu: int, is_slowed: bool, *, has_work: bool) -> None:
    rate = state.mode[gpu] or _FIRST_RATE
    if not has_work or not is_slowed:
        rate = rate * 3 // 2 if state.owner[gpu] == _SLOW_START else rate + _RATE_STEP
    elif state.owner[gpu] == _SLOW_START:
        rate, state.owner[gpu] = rate * 2 // 3, _AVOIDANCE
    else:
        rate = rate * 92 // 100
    state.mode[gpu] = min(_MAX_RATE, max(_RATE_STEP, rate))


def _grant(inputs: VerticalInputs, grants: list[int], span: tuple[int, int], productive: int, rate_milli: int) -> None:
    others = [place for place in range(*span) if place != productive and inputs.work[place]]
    own = inputs.limit_milli[productive] if inputs.work[productive] else 0
    rate = min(rate_milli, WHOLE_MILLI - own if own else WHOLE_MILLI)
    for place in others:
        grants[place] = min(inputs.limit_milli[place], rate // len(others))
    grants[productive] = own


TGS: Final = VerticalPolicy(name="tgs", decide=tgs)
