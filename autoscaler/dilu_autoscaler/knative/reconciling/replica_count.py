"""Everything that may change a replica count on its way from the policy to the Deployment, in this order.

| step                | code                            | rule                                                         |
|---------------------|---------------------------------|--------------------------------------------------------------|
| 1 policy            | `policy.horizontal`             | the count that it decides, within limits of its own, such as |
|                     |                                 | KPA's scale-up rate and activation scale                     |
| 2 activation scale  | `deciding.co_scaling`           | from zero at least that many; 0 after a start was given up   |
| 3 anti-flap         | `anti_flap.steady`, in the loop | a count raised within the last second is not lowered         |
| 4 function's bounds | `bounded`, in the loop          | min-scale and max-scale of revisions that opted in           |
| 5 unneeded start    | `wanted_count`                  | 0 while the first start may be given up and the revision is  |
|                     |                                 | not active: step 8 gives it up after its time-out            |
| 6 settling          | `wanted_count`                  | no scale-down for a time after a hand-over or a set clock    |
| 7 revision's bounds | `bounds_now`                    | initial scale until it was reached, min- and max-scale       |
| 8 to zero in steps  | `_step_to_zero`                 | one stays until activators are in the path, as in Knative    |
| 9 no data           | `replica_count`                 | while activating without data, no scale-down but to zero     |

Steps 1 to 4 run in the loop, and `DesiredScales` records the result. The others run when the revision is reconciled, on
what the cluster looks like then. Pure. Source: the Knative contract, §1.5, §2.1 and §2.2. -1 is Knative's "not known".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.objects import UNKNOWN_SCALE
from dilu_autoscaler.policy.horizontal.bounds import Bounds

ACTIVATION_BUFFER_S: Final = 30.0
"""Beyond the Deployment's own progress deadline, so that the Deployment reports its failure first."""
PROXY_AGAIN_S: Final = 3.0
"""A revision in mode Proxy is reconciled again after this time: no change of its ServerlessService will wake it."""


class Activity(StrEnum):
    """The condition Active."""

    ACTIVE = "active"  # True
    ACTIVATING = "activating"  # Unknown
    INACTIVE = "inactive"  # False


def wanted_count(decided: int, *, may_give_up: bool, is_active: bool, replicas: int | None, settles: bool) -> int:
    """Return the decided count after steps 5 and 6; `replicas` is the Deployment's number, None if it is unknown.

    >>> wanted_count(1, may_give_up=True, is_active=False, replicas=1, settles=False)
    0
    >>> wanted_count(2, may_give_up=False, is_active=True, replicas=5, settles=True)
    5
    """
    count = 0 if decided > 0 and may_give_up and not is_active else decided
    if settles and replicas is not None and UNKNOWN_SCALE < count < replicas:
        return replicas
    return count


def bounds_now(settings: RevisionSettings, *, initialized: bool) -> Bounds:
    """Return the bounds in force: the initial scale is a minimum until it was reached, an unreachable one has none."""
    reachable = settings.kpa.reachable
    minimum = settings.min_scale if reachable else 0
    if reachable and not initialized and settings.initial_scale > 1:
        minimum = max(minimum, settings.initial_scale)
    return Bounds(min_replicas=minimum, max_replicas=settings.max_scale or None)


def min_ready(settings: RevisionSettings, *, initialized: bool) -> int:
    """Return the number of ready replicas from which on the revision is active."""
    minimum = settings.min_scale if settings.kpa.reachable else 0
    return max(minimum, 1 if initialized else settings.initial_scale)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What the way to zero depends on."""

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
    """The next step of a revision's replica count."""

    want: int  # for status and mode; -1: not known
    applies: bool  # whether the Deployment gets `want` now
    again_after_s: float | None = None  # when time alone changes the step
    starts_probing: bool = False


def replica_count(wanted: int, bounds: Bounds, revision: Revision, *, replicas: int | None) -> Scaling:
    """Return the next step after steps 7 to 9. `wanted` -1: nothing was decided yet."""
    if wanted < 0 and revision.activity is not Activity.ACTIVATING:
        return Scaling(want=wanted, applies=False)
    count = bounds.clamp(wanted)
    step = _step_to_zero(revision) if count == 0 else Scaling(want=count, applies=count > 0)
    if wanted < 0 and replicas is not None and 0 < step.want < replicas:
        # Knative scales down to min-scale here; without data on the load there is no reason to.
        return replace(step, applies=False)
    return step


def _step_to_zero(revision: Revision) -> Scaling:
    """Return the next step on the way to no replicas."""
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
    """After a whole window of activity the activators take over, and only then the last replica is removed."""
    left_s = revision.stable_window_s - revision.activity_for_s
    if left_s > 0:
        return Scaling(want=1, applies=True, again_after_s=left_s)
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
