"""A net below every policy: what was only just raised is not lowered again by a look that brought nothing new."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from dilu_autoscaler.policy.horizontal.observations import Decision, Observation

RAISED_STAYS_S: Final = 1.0
"""As long as a sample: after that there is one to decide on, or none was to come."""


def steady(decision: Decision, seen: Observation, *, raised_s: float | None, now_s: float) -> Decision:
    """The decision, or to hold until a second after the number was raised (None: it never was).

    A replica that starts, becomes ready or stops makes the loop look at once. Were such a look to lower the number that
    it was started for, and the next request to raise it, processes would start and stop as fast as they can.
    """
    is_lower = decision.replicas is not None and decision.replicas < seen.desired
    if not is_lower or seen.samples or raised_s is None or now_s >= raised_s + RAISED_STAYS_S:
        return decision
    reason = f"hold: raised {max(0.0, now_s - raised_s):.2f} s ago, and no sample since; else {decision.reason}"
    return replace(decision, replicas=None, reason=reason, next_change_s=raised_s + RAISED_STAYS_S)
