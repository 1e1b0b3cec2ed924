"""The vertical policies by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dilu.errors import ConfigError
from dilu_autoscaler.policy.vertical.deadline_shares import deadline_shares
from dilu_autoscaler.policy.vertical.fast_gshare import time_tokens
from dilu_autoscaler.policy.vertical.fixed_shares import exclusive, static_limit, static_request
from dilu_autoscaler.policy.vertical.node_state import QuotaInputs, QuotaState
from dilu_autoscaler.policy.vertical.paper_tokens import paper_tokens
from dilu_autoscaler.policy.vertical.tgs import opportunistic

QuotaPolicy = Callable[[QuotaInputs, QuotaState, int], list[int]]
"""The grants in milli-GPU, one a tenant, after so many ticks; the state, which it is given to change, remembers."""

QUOTA_POLICIES: Final[dict[str, QuotaPolicy]] = {
    "dilu": deadline_shares,
    "dilu-paper": paper_tokens,
    "exclusive": exclusive,
    "fast-gs": time_tokens,
    "static-limit": static_limit,
    "static-request": static_request,
    "tgs": opportunistic,
}


def quota_policy_named(name: str) -> QuotaPolicy:
    """The vertical policy of that name; raises `ConfigError` with the names there are."""
    try:
        return QUOTA_POLICIES[name]
    except KeyError:
        raise ConfigError(f"vertical policy = {name!r}, must be one of: {', '.join(sorted(QUOTA_POLICIES))}") from None
