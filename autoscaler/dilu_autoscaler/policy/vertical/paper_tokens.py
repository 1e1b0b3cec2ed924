"""The paper's Algorithm 2: shares follow launch cycles. Its division is mended: the victim's share shrinks.

Each GPU is in one state, which the tenants whose latency counts set and the others read:

| a tenant whose latency counts           | sets       | gets                         |
|-----------------------------------------|------------|------------------------------|
| its cycle is far above its least        | EMERGENCY  | limit                        |
| it was idle for the whole window        | RECOVERY   | request                      |
| all others were idle for a window       | RECOVERY   | 1.3 x what it had            |
| else                                    | CONTENTION | request                      |

| the others, by that state | get                                                  |
|---------------------------|------------------------------------------------------|
| NONE                      | limit                                                |
| EMERGENCY                 | min(request, what they had) / (cycle over its least) |
| RECOVERY                  | min(1.3 x what they had, limit)                      |
| CONTENTION                | what they had                                        |

Only who set EMERGENCY clears it. The paper prints no constants; these are from its published code. `owner` is the
place of who set EMERGENCY.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import QuotaInputs, QuotaState, fit_into_gpu, idle_after

NONE, RECOVERY, CONTENTION, EMERGENCY = range(4)
_WINDOW_TICKS: Final = 100
_ENTER_PERCENT: Final = 160
_LEAVE_PERCENT: Final = 120
"""A cycle of so many percent of the least begins, or ends, an emergency."""


def paper_tokens(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """The grants that Algorithm 2 gives after so many ticks."""
    idle = idle_after(inputs, state, ticks)
    last = state.granted_milli
    grants = [0] * len(inputs.work)
    for gpu in range(len(inputs.first) - 1):
        begin, end = inputs.first[gpu], inputs.first[gpu + 1]
        worst_percent = 100
        has_sensitive = False
        for place in range(begin, end):
            if not inputs.sensitive[place]:
                continue
            has_sensitive = True
            percent = _cycle_percent(inputs, place)
            others_idle = all(idle[other] >= _WINDOW_TICKS for other in range(begin, end) if other != place)
            worst_percent = max(worst_percent, percent)
            _set_mode(state, gpu, place, percent, is_idle=idle[place] >= _WINDOW_TICKS, others_idle=others_idle)
            grants[place] = _share_of_sensitive(inputs, last, place, state, gpu, others_idle=others_idle)
        if not has_sensitive:
            state.mode[gpu] = NONE
        for place in range(begin, end):
            if not inputs.sensitive[place]:
                grants[place] = _share_of_other(inputs, last[place], place, state.mode[gpu], worst_percent)
            if not inputs.work[place]:
                grants[place] = 0
        fit_into_gpu(grants, begin, end)
    state.idle_ticks = idle
    # Who is idle is remembered with what it may have when it comes back, or it would grow from nothing.
    state.granted_milli = [
        grant or (0 if work else had) for grant, work, had in zip(grants, inputs.work, last, strict=True)
    ]
    return grants


def _cycle_percent(inputs: QuotaInputs, place: int) -> int:
    """Its last cycle in percent of its least; 100 while either is unknown, or while it has no work."""
    least_us, cycle_us = inputs.least_cycle_us[place], inputs.cycle_us[place]
    if not inputs.work[place] or least_us <= 0 or cycle_us <= 0:
        return 100
    return max(100, cycle_us * 100 // least_us)


def _set_mode(state: QuotaState, gpu: int, place: int, percent: int, *, is_idle: bool, others_idle: bool) -> None:
    if percent >= _ENTER_PERCENT and state.mode[gpu] != EMERGENCY:
        state.mode[gpu], state.owner[gpu] = EMERGENCY, place
        return
    if state.mode[gpu] == EMERGENCY:
        if state.owner[gpu] != place or (percent >= _LEAVE_PERCENT and not is_idle):
            return
        state.owner[gpu] = -1
    state.mode[gpu] = RECOVERY if is_idle or others_idle else CONTENTION


def _share_of_sensitive(
    inputs: QuotaInputs, last: list[int], place: int, state: QuotaState, gpu: int, *, others_idle: bool
) -> int:
    request, limit = inputs.request_milli[place], inputs.limit_milli[place]
    if state.mode[gpu] == EMERGENCY and state.owner[gpu] == place:
        return limit
    if state.mode[gpu] == RECOVERY and others_idle:
        return min(limit, max(request, last[place] * 13 // 10))
    return request


def _share_of_other(inputs: QuotaInputs, last: int, place: int, mode: int, worst_percent: int) -> int:
    request, limit = inputs.request_milli[place], inputs.limit_milli[place]
    if mode == NONE:
        return limit
    if mode == EMERGENCY:
        return max(1, min(request, last or request) * 100 // max(worst_percent, 100))
    if mode == RECOVERY:
        return min(limit, max(1, last * 13 // 10, last + 1))
    return last or request
