"""What every vertical policy is: a rule, and what a caller needs to know to call it no more often than necessary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dilu_autoscaler.policy.vertical.node_state import WHOLE_MILLI, Grants, VerticalInputs, VerticalState

VerticalRule = Callable[[VerticalInputs, VerticalState, int], Grants]
"""Decides the grants from the inputs, the state (which it changes) and the microseconds since the last call.

A call with 0 µs decides again because inputs have changed since the last call. A rule that moves in steps then takes a
whole step at once. A caller that decides several times within one tick passes the state of the tick's start each time,
so that shares move no further in a tick than the rule allows.
"""


def up_to_limit(request_milli: int, limit_milli: int, free_milli: int) -> int:
    """Return the largest grant of a policy that lends what is free."""
    return min(limit_milli, WHOLE_MILLI, max(request_milli, free_milli))


@dataclass(frozen=True, slots=True, kw_only=True)
class VerticalPolicy:
    """A vertical policy."""

    name: str
    decide: VerticalRule
    remembers_time: bool = True
    """Whether its state holds more than the last grants. If so, it must be called with the old inputs before they
    change, or the time until then would count for the new ones."""
    max_grant_milli: Callable[[int, int, int], int] = up_to_limit
    """The largest grant of a tenant with that request and limit, where the others leave that share free."""
