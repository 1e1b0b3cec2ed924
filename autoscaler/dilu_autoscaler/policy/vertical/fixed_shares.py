"""Shares that do not change in a replica's life: a whole GPU, or the limit or the request as an MPS percentage."""

from __future__ import annotations

from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI, QuotaInputs, QuotaState, fit_into_gpu


def exclusive(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """The whole GPU to whom it belongs. It is meant for one tenant a GPU; several would take equal parts."""
    grants = [0] * len(inputs.work)
    for gpu in range(len(inputs.first) - 1):
        begin, end = inputs.first[gpu], inputs.first[gpu + 1]
        for place in range(begin, end):
            grants[place] = WHOLE_MILLI // (end - begin)
    state.granted_milli = grants
    return grants


def static_limit(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """The limit (MPS-l). Where those that work have higher limits than the GPU has, they share it by them."""
    grants = [limit if work else 0 for limit, work in zip(inputs.limit_milli, inputs.work, strict=True)]
    for gpu in range(len(inputs.first) - 1):
        fit_into_gpu(grants, inputs.first[gpu], inputs.first[gpu + 1])
    state.granted_milli = grants
    return grants


def static_request(inputs: QuotaInputs, state: QuotaState, ticks: int) -> list[int]:
    """The request (MPS-r), whether it is used or not."""
    grants = list(inputs.request_milli)
    for gpu in range(len(inputs.first) - 1):
        fit_into_gpu(grants, inputs.first[gpu], inputs.first[gpu + 1])
    state.granted_milli = grants
    return grants
