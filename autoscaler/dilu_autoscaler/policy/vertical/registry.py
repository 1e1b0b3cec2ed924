"""The vertical policies by name."""

from __future__ import annotations

from typing import Final

from dilu.errors import ConfigError
from dilu_autoscaler.policy.vertical.deadline_shares import DEADLINE_SHARES
from dilu_autoscaler.policy.vertical.fast_gshare import FAST_GSHARE
from dilu_autoscaler.policy.vertical.fixed_shares import EXCLUSIVE, STATIC_LIMIT, STATIC_REQUEST
from dilu_autoscaler.policy.vertical.paper_tokens import PAPER_TOKENS
from dilu_autoscaler.policy.vertical.tgs import TGS
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy

VERTICAL_POLICIES: Final[dict[str, VerticalPolicy]] = {
    policy.name: policy
    for policy in (DEADLINE_SHARES, PAPER_TOKENS, EXCLUSIVE, FAST_GSHARE, STATIC_LIMIT, STATIC_REQUEST, TGS)
}


def vertical_policy_named(name: str) -> VerticalPolicy:
    """Return the vertical policy of that name; raise `ConfigError` with the known names if there is none."""
    try:
        return VERTICAL_POLICIES[name]
    except KeyError:
        known = ", ".join(sorted(VERTICAL_POLICIES))
        raise ConfigError(f"vertical policy = {name!r}, must be one of: {known}") from None
