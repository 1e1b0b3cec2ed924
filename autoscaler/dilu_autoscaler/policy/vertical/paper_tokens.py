"""The paper's Algorithm 2: shares follow launch cycles. Its division is mended: the victim's share shrinks.

Each GPU is in one state, which the tenants whose latency counts set and the others read:

| a tenant whose latency counts           | sets       | gets                         |
|-----------------------------------------|------------|------------------------------|
| its cycle is far above its shortest     | EMERGENCY  | limit                        |
| it was idle for the whole window        | RECOVERY   | request                      |
| all others were idle for a window       | RECOVERY   | 1.3 x what it had            |
| else                                    | CONTENTION | request                      |

| the others, by that state | get                                                     |
|---------------------------|---------------------------------------------------------|
| NONE                      | limit                                                   |
| EMERGENCY                 | min(request, what they had) / (cycle over its shortest) |
| RECOVERY                  | min(1.3 x what they had, limit)                         |
| CONTENTION                | what they had                                           |

Only the tenant that set EMERGENCY clears it. The paper prints no constants; these are from its published code. The
algorithm runs every 5 ms; in between each tenant with work keeps what it has. A call after a longer time runs it once,
because the inputs of the missed runs are not known. `counter` is what the last run granted, `owner` is the place of the
tenant that set EMERGENCY, and `step_us` is the time since the last run.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import Grants, VerticalInputs, VerticalState, fit_into_gpu, sooner
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy

NONE, RECOVERY, CONTENTION, EMERGENCY = range(4)
STEP_US: Final = 5_000
WINDOW_US: Final = 100 * STEP_US
_ENTER_PERCENT: Final = 160
_LEAVE_PERCENT: Final = 120
"""A cycle of that many percent of the shortest begins, or ends, an emergency."""


def paper_tokens(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant what Algorithm 2 grants after that time."""
    change_us = None
    for gpu in range(len(inputs.first) - 1):
        change_us = sooner(change_us, _pass_time(inputs, state, gpu, elapsed_us))
    grants = [had if work else 0 for had, work in zip(state.granted_milli, inputs.work, strict=True)]
    for gpu in range(len(inputs.first) - 1):
        fit_into_gpu(grants, inputs.first[gpu], inputs.first[gpu + 1])  # one that has just come back has its old share
    return Grants(grants, change_us)


def _pass_time(inputs: VerticalInputs, state: VerticalState, gpu: int, elapsed_us: int) -> int | None:
    """Run the algorithm if a step is over, or inputs have changed; return the time until a run could change a share."""
    passed_us = state.step_us[gpu] + elapsed_us
    state.step_us[gpu] = passed_us % STEP_US
    if elapsed_us and passed_us < STEP_US:
        is_busy = any(inputs.work[inputs.first[gpu] : inputs.first[gpu + 1]])
        return STEP_US - passed_us if is_busy else None
    change_us = _run(inputs, state, gpu, passed_us - state.step_us[gpu])
    return None if change_us is None else change_us - state.step_us[gpu]


def _run(inputs: VerticalInputs, state: VerticalState, gpu: int, passed_us: int) -> int | None:
    """Run the algorithm once on one GPU; return the time until another run could change a share."""
    begin, end = inputs.first[gpu], inputs.first[gpu + 1]
    work, idle = inputs.work, state.idle_us
    for place in range(begin, end):
        idle[place] = 0 if work[place] else idle[place] + passed_us
    before = state.counter[begin:end], state.mode[gpu], state.owner[gpu]
    state.counter[begin:end] = grants = _shares(inputs, state, gpu)
    # An idle tenant is remembered with what it may have when it comes back, or it would grow from nothing.
    state.granted_milli[begin:end] = [
        grant or (0 if work[place] else state.granted_milli[place])
        for place, grant in zip(range(begin, end), grants, strict=True)
    ]
    if not any(work[begin:end]):
        return None
    if before != (grants, state.mode[gpu], state.owner[gpu]):
        return STEP_US
    return min(
        [WINDOW_US - idle[place] for place in range(begin, end) if not work[place] and idle[place] < WINDOW_US],
        default=None,
    )


def _shares(inputs: VerticalInputs, state: VerticalState, gpu: int) -> list[int]:
    """Set the state of the GPU, and return the shares of its tenants."""
    begin, end = inputs.first[gpu], inputs.first[gpu + 1]
    idle = state.idle_us
    grants = [0] * (end - begin)
    worst_percent = 100
    has_sensitive = False
    for place in range(begin, end):
        if not inputs.sensitive[place]:
            continue
        has_sensitive = True
        percent = _cycle_percent(inputs, place)
        others_idle = all(idle[other] >= WINDOW_US for other in range(begin, end) if other != place)
        worst_percent = max(worst_percent, percent)
        _set_mode(state, gpu, place, percent, is_idle=idle[place] >= WINDOW_US, others_idle=others_idle)
        grants[place - begin] = _share_of_sensitive(inputs, state, gpu, place, others_idle=others_idle)
    if not has_sensitive:
        state.mode[gpu] = NONE
    for place in range(begin, end):
        if not inputs.sensitive[place]:
            grants[place - begin] = _share_of_other(inputs, state, gpu, place, worst_percent)
        if not inputs.work[place]:
            grants[place - begin] = 0
    fit_into_gpu(grants, 0, len(grants))
    return grants


def _cycle_percent(inputs: VerticalInputs, place: int) -> int:
    """Return its last cycle in percent of its shortest; 100 while either is unknown, or while it has no work."""
    min_us, cycle_us = inputs.min_cycle_us[place], inputs.cycle_us[place]
    if not inputs.work[place] or min_us <= 0 or cycle_us <= 0:
        return 100
    return max(100, cycle_us * 100 // min_us)


def _set_mode(state: VerticalState, gpu: int, place: int, percent: int, *, is_idle: bool, others_idle: bool) -> None:
    if percent >= _ENTER_PERCENT and state.mode[gpu] != EMERGENCY:
        state.mode[gpu], state.owner[gpu] = EMERGENCY, place
        return
    if state.mode[gpu] == EMERGENCY:
        if state.owner[gpu] != place or percent >= _LEAVE_PERCENT:
            return
        state.owner[gpu] = -1
    state.mode[gpu] = RECOVERY if is_idle or others_idle else CONTENTION


def _share_of_sensitive(
    inputs: VerticalInputs, state: VerticalState, gpu: int, place: int, *, others_idle: bool
) -> int:
    request, limit = inputs.request_milli[place], inputs.limit_milli[place]
    if state.mode[gpu] == EMERGENCY and state.owner[gpu] == place:
        return limit
    if state.mode[gpu] == RECOVERY and others_idle:
        return min(limit, max(request, state.granted_milli[place] * 13 // 10))
    return request


def _share_of_other(inputs: VerticalInputs, state: VerticalState, gpu: int, place: int, worst_percent: int) -> int:
    request, limit = inputs.request_milli[place], inputs.limit_milli[place]
    mode, had = state.mode[gpu], state.granted_milli[place]
    if mode == NONE:
        return limit
    if mode == EMERGENCY:
        return max(1, min(request, had or request) * 100 // max(worst_percent, 100))
    if mode == RECOVERY:
        return min(limit, max(1, had * 13 // 10, had + 1))
    return had or request


PAPER_TOKENS: Final = VerticalPolicy(name="dilu-paper", decide=paper_tokens)
