"""The status of a PodAutoscaler during one reconciliation. Source: the Knative contract, §1.5."""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings
from dilu_autoscaler.knative.objects import UNKNOWN_SCALE, PodAutoscaler, PodAutoscalerStatus
from dilu_autoscaler.knative.reconciling import conditions
from dilu_autoscaler.knative.reconciling.conditions import (
    ACTIVE,
    FALSE,
    SCALE_TARGET_INITIALIZED,
    SKS_READY,
    TRUE,
    UNKNOWN,
    Conditions,
)
from dilu_autoscaler.knative.reconciling.replica_count import Activity, bounds_now, min_ready

_ACTIVITIES: Final = {TRUE: Activity.ACTIVE, FALSE: Activity.INACTIVE}
_STATUSES: Final = {Activity.ACTIVE: TRUE, Activity.ACTIVATING: UNKNOWN, Activity.INACTIVE: FALSE}


class StatusDraft:
    """The stored status, marked step by step. `activity` and `bounds` are those at its beginning."""

    def __init__(self, pa: PodAutoscaler, settings: RevisionSettings, now_s: float) -> None:
        stored = pa.status
        self._pa = pa
        self._now_s = now_s
        self._stored = conditions.read_all(stored.conditions)
        self._conditions = Conditions(self._stored)
        if stored.observed_generation != pa.metadata.generation:
            self._conditions.mark_new_generation()
        self.activity = _ACTIVITIES.get(self._conditions.status(ACTIVE), Activity.ACTIVATING)
        initialized = self._conditions.status(SCALE_TARGET_INITIALIZED) == TRUE
        self.bounds = bounds_now(settings, initialized=initialized)
        self._min_ready = min_ready(settings, initialized=initialized)
        self.service_name = stored.service_name
        self.metrics_service_name = stored.metrics_service_name
        self._desired_scale = stored.desired_scale
        self._actual_scale = stored.actual_scale

    @property
    def activity_for_s(self) -> float:
        """Return for how long Active has had its status; 0 if none is stored yet."""
        if conditions.find(self._pa.status.conditions, ACTIVE) is None:
            return 0.0
        return self._conditions.in_status_s(ACTIVE, _STATUSES[self.activity], self._now_s)

    def mark_not_owned(self, kind: str) -> None:
        """Mark that another owner has an object with the needed name."""
        message = f'There is an existing {kind} "{self._pa.metadata.name}" that we do not own.'
        self._conditions.mark_false(ACTIVE, "NotOwned", message)

    def mark_sks_ready(self) -> None:
        """Mark that requests reach pods."""
        self._conditions.mark_true(SKS_READY)

    def mark_sks_not_ready(self, message: str) -> None:
        """Mark that requests do not reach pods, or that this is not known yet."""
        self._conditions.mark_unknown(SKS_READY, "NotReady", message)

    def mark_counts(self, *, want: int, ready: int) -> None:
        """Set the counts and mark what follows from them. `want` -1: not known, a known count stays."""
        self._actual_scale = ready
        is_known = isinstance(self._desired_scale, int) and self._desired_scale >= 0
        if want != UNKNOWN_SCALE or not is_known:
            self._desired_scale = want
        if ready >= self._min_ready and self.service_name:
            self._conditions.mark_true(SCALE_TARGET_INITIALIZED)
        self._mark_activity(want, ready)

    def status(self) -> PodAutoscalerStatus:
        """Return the status as marked so far."""
        stored = self._pa.status
        return PodAutoscalerStatus(
            observed_generation=self._pa.metadata.generation,
            conditions=conditions.stored_as(self._conditions.written(self._now_s), self._stored),
            annotations=stored.annotations,
            service_name=self.service_name,
            metrics_service_name=self.metrics_service_name,
            desired_scale=self._desired_scale,
            actual_scale=self._actual_scale,
        )

    def _mark_activity(self, want: int, ready: int) -> None:
        # With an initial scale of 0, no replica has to be ready before it was reached.
        if want == 0 or self._min_ready == 0:
            if self.activity is Activity.ACTIVATING and self._min_ready > 0:
                # Only the activation's time-out leads from activating to zero.
                self._conditions.mark_false(ACTIVE, "TimedOut", "The target could not be activated.")
            else:
                self._mark_inactive()
        elif want < 0 and self.activity is Activity.INACTIVE:
            # With enough ready replicas Knative keeps the condition, an older reason included.
            if ready < self._min_ready:
                self._mark_inactive()
        elif ready >= self._min_ready:
            self._conditions.mark_true(ACTIVE)
        else:
            message = "Requests to the target are being buffered as resources are provisioned."
            self._conditions.mark_unknown(ACTIVE, "Queued", message)

    def _mark_inactive(self) -> None:
        self._conditions.mark_false(ACTIVE, "NoTraffic", "The target is not receiving traffic.")
