"""Vertical decisions: which share of its GPU each tenant may use until the next tick.

One call decides for a whole node. Everything is whole numbers in flat lists, one list a property and one place a
tenant, so that nothing is made per tenant and the same functions can be compiled. Time comes in as ticks that passed.
"""

from dilu_autoscaler.policy.vertical.node_state import (
    QuotaInputs,
    QuotaState,
    first_quota_state,
    with_tenant,
    without_tenant,
)
from dilu_autoscaler.policy.vertical.registry import QUOTA_POLICIES, QuotaPolicy, quota_policy_named

__all__ = [
    "QUOTA_POLICIES",
    "QuotaInputs",
    "QuotaPolicy",
    "QuotaState",
    "first_quota_state",
    "quota_policy_named",
    "with_tenant",
    "without_tenant",
]
