"""Vertical decisions: which share of its GPU each tenant may use until the next tick.

One call decides for a whole node. Everything is whole numbers in flat lists, one list for each property and one place
for each tenant, so that a call makes no object for a tenant and the same functions can be compiled. Time comes in as
the microseconds that have passed since the last call.
"""

from dilu_autoscaler.policy.vertical.node_state import (
    Grants,
    VerticalInputs,
    VerticalState,
    initial_state,
    with_tenant,
    without_tenant,
)
from dilu_autoscaler.policy.vertical.registry import VERTICAL_POLICIES, vertical_policy_named
from dilu_autoscaler.policy.vertical.vertical_policy import VerticalPolicy

__all__ = [
    "VERTICAL_POLICIES",
    "Grants",
    "VerticalInputs",
    "VerticalPolicy",
    "VerticalState",
    "initial_state",
    "vertical_policy_named",
    "with_tenant",
    "without_tenant",
]
