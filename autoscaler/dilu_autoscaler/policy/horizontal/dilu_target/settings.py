"""What the policy knows about one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal.bounds import Bounds
from dilu_autoscaler.policy.horizontal.demand import check_positive

DEFAULT_TARGET_RATIO: Final = 0.98
"""Share of the requests that must be answered within the objective."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """Settings of one function."""

    target_ratio: float = DEFAULT_TARGET_RATIO
    """Share of the requests to answer within the objective, between 0 and 1: the one knob."""
    slo_s: float | None = None
    """Latency objective. None: five batches alone, and at least 0.1 s."""
    batch: int = 1
    rps_limit: float | None = None
    """Annotated throughput of one replica. What replicas have shown wins over it. None: not annotated."""
    bounds: Bounds = Bounds()  # noqa: RUF009 (frozen: one value for all)

    def __post_init__(self) -> None:
        check_positive("rps-limit", self.rps_limit)
        check_positive("slo", self.slo_s)
        if not 0 < self.target_ratio < 1:
            raise ConfigError(f"slo-target = {self.target_ratio}, must be above 0 and below 1, such as 0.98")


def target_settings_for(function: FunctionSpec) -> TargetSettings:
    """Return the settings that a function's spec gives."""
    return TargetSettings(
        slo_s=function.slo_s,
        batch=function.batch or 1,
        rps_limit=function.rps_limit,
        bounds=Bounds(min_replicas=function.min_scale, max_replicas=function.max_scale),
    )
