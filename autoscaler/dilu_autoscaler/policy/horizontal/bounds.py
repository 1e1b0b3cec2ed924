"""Minimum and maximum replicas of a function, applied to whatever a policy decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dilu_autoscaler.policy.horizontal.observations import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Minimum and maximum replicas of one function.

    A function's spec rejects a maximum below the minimum; Knative accepts it, and its rule for that is `clamp`'s.
    """

    min_replicas: int = 0
    max_replicas: int | None = None
    """None: unbounded."""

    def clamp(self, replicas: int) -> int:
        """Return the minimum for a count below it, the maximum for any other above that one, else the count.

        >>> [Bounds(min_replicas=2, max_replicas=5).clamp(n) for n in (0, 3, 9)]
        [2, 3, 5]
        >>> [Bounds(min_replicas=4, max_replicas=2).clamp(n) for n in (3, 4)]
        [4, 2]
        """
        if replicas < self.min_replicas:
            return self.min_replicas
        if self.max_replicas is not None and replicas > self.max_replicas:
            return self.max_replicas
        return replicas


def bounded(decision: Decision, bounds: Bounds, *, desired: int) -> Decision:
    """Return the decision moved into the bounds, with the bound that applied in its reason.

    A decision to hold keeps the present count, `desired`; if that is outside the bounds it is moved too, so a function
    gets its minimum before anything is known about its load.
    """
    wanted = desired if decision.replicas is None else decision.replicas
    allowed = bounds.clamp(wanted)
    if allowed == wanted:
        return decision
    bound = f"min-scale {allowed}" if allowed > wanted else f"max-scale {allowed}"
    return replace(decision, replicas=allowed, reason=f"{bound} instead of {wanted}: {decision.reason}")
