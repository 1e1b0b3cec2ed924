"""A rule after every policy: a count that was just raised is not lowered again by a tick without a new sample."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dilu_autoscaler.policy.horizontal.observations import Decision, Observation

RAISED_STAYS_S: Final = 1.0
"""The length of a sample: after that there is a new one to decide on, or none comes."""


def steady(decision: Decision, seen: Observation, *, raised_s: float | None, now_s: float) -> Decision:
    """Return the decision, or to hold until a second after the count was raised (None: it never was).

    A replica that starts, becomes ready or stops makes the loop tick at once. If such a tick lowered the count that the
    replica was started for, and the next request raised it, processes would start and stop as fast as they can.
    """
    is_lower = decision.replicas is not None and decision.replicas < seen.desired
    if not is_lower or seen.samples or raised_s is None or now_s >= raised_s + RAISED_STAYS_S:
        return decision
    reason = (
        f"hold: the count was raised {max(0.0, now_s - raised_s):.2f} s ago, without a sample since; "
        f"held back: {decision.reason}"
    )
    return replace(decision, replicas=None, reason=reason, next_change_s=raised_s + RAISED_STAYS_S)
