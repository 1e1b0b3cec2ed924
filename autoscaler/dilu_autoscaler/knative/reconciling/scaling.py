"""From the number that a policy wants to the number that a Deployment gets: bounds, and the way to zero and from it.

Pure. Source: the Knative contract, §1.5, §2.1 and §2.2. -1 is Knative's "not known".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dilu_autoscaler.knative.objects import UNKNOWN_SCALE

ACTIVATION_BUFFER_S: Final = 30.0
"""Beyond the Deployment's own progress deadline, so that the Deployment reports its failure first."""
PROXY_AGAIN_S: Final = 3.0
FEWEST_ACTIVATORS: Final = 2


class Activity(StrEnum):
    """What the condition Active says."""

    ACTIVE = "active"  # True
    ACTIVATING = "activating"  # Unknown
    INACTIVE = "inactive"  # False


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many replicas a revision may have, and needs before it counts as there."""

    least: int = 0
    most: int = 0  # 0: unlimited
    initial: int = 1
    reachable: bool = True  # False only where Knative says Unreachable
    initialized: bool = True  # whether the initial scale was reached once

    @property
    def least_now(self) -> int:
        """The least that may be asked for now: the initial scale until it was reached."""
        least = self.least if self.reachable else 0
        if self.initial > 1 and not self.initialized and self.reachable:
            return max(least, self.initial)
        return least

    @property
    def least_ready(self) -> int:
        """Ready replicas from which on the revision is active."""
        least = self.least if self.reachable else 0
        return max(least, 1) if self.initialized else max(least, self.initial)

    def clamped(self, desired: int) -> int:
        """`desired` within the bounds."""
        if desired < self.least_now:
            return self.least_now
        return self.most if self.most and desired > self.most else desired


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What the way to zero depends on. Times are seconds since; -1: not in that state."""

    activity: Activity
    activity_for_s: float  # since Active has its status
    stable_window_s: float
    progress_deadline_s: float
    grace_s: float  # cluster's scale-to-zero-grace-period
    retention_s: float  # scale-to-zero-pod-retention-period; ignored where unreachable
    may_be_zero: bool  # cluster's enable-scale-to-zero
    reachable: bool
    proxied: bool  # the ServerlessService is in mode Proxy
    activators_in_path_for_s: float  # since its ActivatorEndpointsPopulated is True, 0 where it is not
    activator_answers: bool | None  # the probe of the public service; None: needs no probe, for TBC is -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """What to do about a revision's replicas."""

    want: int  # for status and mode; -1: not known
    applies: bool  # whether the Deployment is to have `want` now
    again_after_s: float | None = None  # when to look again by the clock alone
    starts_probing: bool = False


def scale(desired: int, bounds: Bounds, revision: Revision) -> Scaling:
    """What becomes of the number that the policy desires (-1: it knows nothing yet)."""
    if desired < 0 and revision.activity is not Activity.ACTIVATING:
        return Scaling(want=desired, applies=False)
    clamped = bounds.clamped(desired)
    return scale_to_zero(revision) if clamped == 0 else Scaling(want=clamped, applies=clamped > 0)


def scale_to_zero(revision: Revision) -> Scaling:
    """The next step on the way to no replicas."""
    if not revision.may_be_zero:
        return Scaling(want=1, applies=True)
    if revision.activity is Activity.ACTIVATING:
        return _give_up_activating(revision)
    if revision.activity is Activity.ACTIVE:
        return _become_inactive(revision)
    return _remove_last(revision)


def _give_up_activating(revision: Revision) -> Scaling:
    timeout_s = revision.progress_deadline_s + ACTIVATION_BUFFER_S
    if revision.activity_for_s > timeout_s:
        return Scaling(want=0, applies=True)
    return Scaling(want=UNKNOWN_SCALE, applies=False, again_after_s=timeout_s)


def _become_inactive(revision: Revision) -> Scaling:
    """It was active for a whole window: the activators take over, and only then the last replica goes."""
    left_s = revision.stable_window_s - revision.activity_for_s
    if left_s > 0:
        return Scaling(want=1, applies=True, again_after_s=left_s)
    # In mode Proxy already: no change of the ServerlessService will come to tell us.
    return Scaling(want=0, applies=False, again_after_s=PROXY_AGAIN_S if revision.proxied else None)


def _remove_last(revision: Revision) -> Scaling:
    if revision.activator_answers is False:
        return Scaling(want=0, applies=False, starts_probing=True)
    retention_s = revision.retention_s if revision.reachable else 0.0
    if revision.activity_for_s >= max(revision.grace_s, retention_s):
        return Scaling(want=0, applies=True)
    if retention_s > 0 and revision.activity_for_s < retention_s:
        return Scaling(want=0, applies=False, again_after_s=retention_s - revision.activity_for_s)
    left_s = revision.grace_s - revision.activators_in_path_for_s
    if left_s <= 0:
        return Scaling(want=0, applies=True)
    return Scaling(want=0, applies=False, again_after_s=left_s)


def activity_after(before: Activity, *, want: int, ready: int, least_ready: int) -> Activity:
    """What Active becomes, by what is wanted and how many are ready."""
    if want == 0 or least_ready == 0:
        return Activity.INACTIVE
    if want < 0 and before is Activity.INACTIVE:
        return Activity.INACTIVE
    return Activity.ACTIVE if ready >= least_ready else Activity.ACTIVATING


def activators(*, ready: int, total: float, target_burst_capacity: float, activator_capacity: float) -> int:
    """How many activators stand before a revision."""
    if target_burst_capacity == 0:
        return FEWEST_ACTIVATORS
    in_flight = ready * total + max(0.0, target_burst_capacity)
    return max(FEWEST_ACTIVATORS, math.ceil(in_flight / activator_capacity))
