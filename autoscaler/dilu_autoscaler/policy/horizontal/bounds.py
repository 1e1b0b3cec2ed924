"""The least and the most replicas a function may have, applied to whatever a policy decided."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dilu.errors import ConfigError
from dilu_autoscaler.policy.horizontal.observations import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Least and most replicas of one function."""

    min_replicas: int = 0
    max_replicas: int | None = None
    """None: unbounded."""

    def __post_init__(self) -> None:
        if self.min_replicas < 0:
            raise ConfigError(f"min-scale = {self.min_replicas}, must be >= 0")
        if self.max_replicas is not None and self.max_replicas < max(1, self.min_replicas):
            raise ConfigError(
                f"max-scale = {self.max_replicas}, must be >= 1 and >= min-scale ({self.min_replicas}); "
                "leave it out for no maximum"
            )

    def clamp(self, replicas: int) -> int:
        """The number nearest to `replicas` that is within the bounds."""
        if replicas < self.min_replicas:
            return self.min_replicas
        if self.max_replicas is not None and replicas > self.max_replicas:
            return self.max_replicas
        return replicas


def bounded(decision: Decision, bounds: Bounds, *, desired: int) -> Decision:
    """The decision moved into the bounds, which its reason then says.

    A decision to hold keeps the present number, `desired`; where that lies outside the bounds it is moved too, so that
    a function gets its minimum before anything is known about its load.
    """
    wanted = desired if decision.replicas is None else decision.replicas
    allowed = bounds.clamp(wanted)
    if allowed == wanted:
        return decision
    rule = f"min-scale {allowed}" if allowed > wanted else f"max-scale {allowed}"
    return replace(decision, replicas=allowed, reason=f"{rule} instead of {wanted}: {decision.reason}")
