"""The loop's actuator on Knative: what was decided on each revision, recorded for the reconciler, which alone acts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from dilu_autoscaler.policy.horizontal import Decision
from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import has_crossed_zero


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredScale:
    """What was decided last on one revision."""

    replicas: int | None = None
    """None: nothing was decided yet."""
    excess_burst_capacity: int
    """Below zero, requests go through the activators."""
    may_give_up: bool = False
    """See `Decision.may_give_up`."""


class DesiredScales:
    """Records decisions and wakes the reconciler of a revision when it has something to do."""

    def __init__(self, wake: Callable[[str], None]) -> None:
        self._wake = wake
        self._scales: dict[str, DesiredScale] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._scales

    def __iter__(self) -> Iterator[str]:
        return iter(self._scales)

    def add(self, key: str, *, excess_burst_capacity: int) -> None:
        """Record decisions on a revision from now on; its excess burst capacity is assumed until the first one."""
        self._scales[key] = DesiredScale(excess_burst_capacity=excess_burst_capacity)

    def forget(self, key: str) -> None:
        """Drop a revision. Unknown ones are ignored."""
        self._scales.pop(key, None)

    def of(self, key: str) -> DesiredScale | None:
        """Return what was decided last. None: the revision is not scaled here."""
        return self._scales.get(key)

    def desired(self, key: str) -> int | None:
        """Return the count that was decided last. None: none yet, or the revision is not scaled here."""
        scale = self._scales.get(key)
        return None if scale is None else scale.replicas

    def apply(self, function: str, decision: Decision) -> None:
        """Record a decision; see `ports.Actuator`. Wakes unless only the size of the excess is new, not its sign."""
        before = self._scales.get(function)
        if before is None:
            return  # forgotten while the loop ticked
        replicas, excess = decision.replicas, decision.excess_burst_capacity
        after = self._scales[function] = DesiredScale(
            replicas=before.replicas if replicas is None else replicas,
            excess_burst_capacity=before.excess_burst_capacity if excess is None else excess,
            may_give_up=decision.may_give_up,
        )
        is_new = (after.replicas, after.may_give_up) != (before.replicas, before.may_give_up)
        if is_new or has_crossed_zero(before.excess_burst_capacity, after.excess_burst_capacity):
            self._wake(function)
