"""Shares that do not change in a replica's life: a whole GPU, or the limit or the request as an MPS percentage."""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.vertical.node_state import (
    WHOLE_MILLI,
    Grants,
    VerticalInputs,
    VerticalState,
    fit_into_gpu,
)
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy


def exclusive(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant each tenant its whole GPU. The policy is meant for one tenant per GPU; several take equal parts."""
    grants = [0] * len(inputs.work)
    for gpu in range(len(inputs.first) - 1):
        begin, end = inputs.first[gpu], inputs.first[gpu + 1]
        for place in range(begin, end):
            grants[place] = WHOLE_MILLI // (end - begin)
    state.granted_milli = grants
    return Grants(grants, None)


def static_limit(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant the limit (MPS-l) to tenants with work; limits above one GPU in sum divide it in proportion."""
    grants = [limit if work else 0 for limit, work in zip(inputs.limit_milli, inputs.work, strict=True)]
    for gpu in range(len(inputs.first) - 1):
        fit_into_gpu(grants, inputs.first[gpu], inputs.first[gpu + 1])
    state.granted_milli = grants
    return Grants(grants, None)


def static_request(inputs: VerticalInputs, state: VerticalState, elapsed_us: int) -> Grants:
    """Grant the request (MPS-r), used or not."""
    grants = list(inputs.request_milli)
    for gpu in range(len(inputs.first) - 1):
        fit_into_gpu(grants, inputs.first[gpu], inputs.first[gpu + 1])
    state.granted_milli = grants
    return Grants(grants, None)


def _whole_gpu(request_milli: int, limit_milli: int, free_milli: int) -> int:
    return WHOLE_MILLI


def _only_request(request_milli: int, limit_milli: int, free_milli: int) -> int:
    return request_milli


EXCLUSIVE: Final = VerticalPolicy(name="exclusive", decide=exclusive, remembers_time=False, max_grant_milli=_whole_gpu)
STATIC_LIMIT: Final = VerticalPolicy(name="static-limit", decide=static_limit, remembers_time=False)
STATIC_REQUEST: Final = VerticalPolicy(
    name="static-request", decide=static_request, remembers_time=False, max_grant_milli=_only_request
)
