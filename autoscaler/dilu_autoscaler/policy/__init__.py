"""Pure decisions: how many replicas, from what was seen, what is remembered and what time it is.

No clock, no randomness, no I/O, no logging here: the same values in give the same values out, so a simulator, a
replay and a cluster run the very same code. State is frozen plain data.
"""

from dilu_autoscaler.policy.bounds import Bounds, bounded
from dilu_autoscaler.policy.catalog import (
    DEFAULT_POLICY,
    POLICIES,
    AnyPolicy,
    Policy,
    ScaleSpec,
    policy_named,
    scale_spec_for,
)
from dilu_autoscaler.policy.observations import Decision, Observation, Sample
from dilu_autoscaler.policy.steady import RAISED_STAYS_S, steady

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "RAISED_STAYS_S",
    "AnyPolicy",
    "Bounds",
    "Decision",
    "Observation",
    "Policy",
    "Sample",
    "ScaleSpec",
    "bounded",
    "policy_named",
    "scale_spec_for",
    "steady",
]
