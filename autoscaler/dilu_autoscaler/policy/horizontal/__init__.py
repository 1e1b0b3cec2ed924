"""How many replicas a function gets: one module or package per policy, and the values that all of them share.

No clock, no randomness, no I/O, no logging here: the same values in give the same values out, so a simulator, a
replay and a cluster run the very same code. State is frozen plain data.
"""

from dilu_autoscaler.policy.horizontal.bounds import Bounds, bounded
from dilu_autoscaler.policy.horizontal.observations import AveragedLoad, Averages, Decision, Observation, Sample
from dilu_autoscaler.policy.horizontal.registry import (
    DEFAULT_POLICY,
    POLICIES,
    AnyPolicy,
    Policy,
    ScaleSpec,
    policy_named,
    scale_spec_for,
)

__all__ = [
    "DEFAULT_POLICY",
    "POLICIES",
    "AnyPolicy",
    "AveragedLoad",
    "Averages",
    "Bounds",
    "Decision",
    "Observation",
    "Policy",
    "Sample",
    "ScaleSpec",
    "bounded",
    "policy_named",
    "scale_spec_for",
]
