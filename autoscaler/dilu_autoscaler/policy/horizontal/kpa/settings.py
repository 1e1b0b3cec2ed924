"""KPA's settings for one function, and how they follow from Knative's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec

UNLIMITED_BURST = -1.0
"""A burst target that is never reached, so that the activator always stays in the path; Knative's own value."""

MIN_TARGET = 0.01
_NS_PER_S = 1_000_000_000


class ScalingMetric(StrEnum):
    """What is averaged and compared with the target."""

    CONCURRENCY = "concurrency"
    RPS = "rps"


class Aggregation(StrEnum):
    """How the seconds of a window become one number."""

    LINEAR = "linear"
    WEIGHTED_EXPONENTIAL = "weighted-exponential"


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaSpec:
    """One function's settings, resolved: no percentages and no unset values. The defaults are Knative's."""

    target: float = 70.0
    """Load per replica to aim for, utilisation included."""
    total: float = 100.0
    """Load that one replica can take; only the excess burst capacity is computed with it."""
    target_burst_capacity: float = 211.0
    """Requests in flight that a burst may add at any moment; UNLIMITED_BURST: always buffer in activators."""
    stable_window_s: int = 60
    panic_window_s: int = 6
    panic_threshold_ratio: float = 2.0
    """Panic begins when the need over the panic window is this many times the ready replicas."""
    max_scale_up_rate: float = 1000.0
    max_scale_down_rate: float = 2.0
    activation_scale: int = 1
    """Minimum replicas whenever there is any load."""
    scale_down_delay_s: int = 0
    reachable: bool = True
    """Whether requests can still reach it; if not, the count may fall at once and without delay."""
    metric: ScalingMetric = ScalingMetric.CONCURRENCY
    aggregation: Aggregation = Aggregation.LINEAR

    def __post_init__(self) -> None:
        rules = (
            ("target", self.target, 0 < self.target < math.inf, "> 0"),
            ("total", self.total, 0 <= self.total < math.inf, ">= 0"),
            ("target-burst-capacity", self.target_burst_capacity, _is_burst(self.target_burst_capacity), ">= 0 or -1"),
            ("window", self.stable_window_s, self.stable_window_s >= 0, ">= 0 s"),
            ("panic window", self.panic_window_s, self.panic_window_s >= 1, ">= 1 s"),
            ("panic-threshold", self.panic_threshold_ratio, self.panic_threshold_ratio > 0, "> 0"),
            ("max-scale-up-rate", self.max_scale_up_rate, self.max_scale_up_rate > 1, "> 1"),
            ("max-scale-down-rate", self.max_scale_down_rate, self.max_scale_down_rate > 1, "> 1"),
            ("activation-scale", self.activation_scale, self.activation_scale >= 0, ">= 0"),
            ("scale-down-delay", self.scale_down_delay_s, self.scale_down_delay_s >= 0, ">= 0 s"),
        )
        for name, value, holds, rule in rules:
            if not holds:
                raise ConfigError(f"{name} = {value}, must be {rule}")


def _is_burst(capacity: float) -> bool:
    return 0 <= capacity < math.inf or capacity == UNLIMITED_BURST


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Load per replica: what to aim for, and what it can take."""

    target: float
    total: float


def resolve_target(
    *,
    metric: ScalingMetric = ScalingMetric.CONCURRENCY,
    container_concurrency: int = 0,
    default_concurrency: float = 100.0,
    default_utilization_ratio: float = 0.7,
    default_rps: float = 200.0,
    rps_utilization_ratio: float = 0.7,
    target: float | None = None,
    utilization_percent: float | None = None,
) -> Target:
    """Return Knative's target for a revision's `containerConcurrency` (0: unlimited), the cluster's defaults, and the
    annotations `target` and `target-utilization-percentage` (None: absent)."""
    if metric is ScalingMetric.RPS:
        total, utilization = default_rps, rps_utilization_ratio
    else:
        total, utilization = float(container_concurrency) or default_concurrency, default_utilization_ratio
    if target is not None:
        limited = metric is ScalingMetric.CONCURRENCY and container_concurrency != 0
        total = min(target, float(container_concurrency)) if limited else target
    if utilization_percent is not None:
        utilization = utilization_percent / 100
    return Target(target=max(MIN_TARGET, total * utilization), total=total)


def panic_window_s(stable_window_s: int, percentage: float) -> int:
    """Return that share of the stable window in whole seconds, rounded half up, and at least one."""
    exact_ns = int(stable_window_s * _NS_PER_S * percentage / 100)
    return max(1, (exact_ns + _NS_PER_S // 2) // _NS_PER_S)


def kpa_spec_for(function: FunctionSpec) -> KpaSpec:
    """Return KPA's settings for a function on one machine: Knative's defaults, the target from the batch size.

    A replica runs one batch while the next one fills, so it takes two batches in flight; a third would wait for a whole
    execution. Without a batch size the throughput of a replica is unknown, and Knative's 100 stays.
    """
    concurrency = 0 if function.batch is None else 2 * function.batch
    resolved = resolve_target(container_concurrency=concurrency)
    return KpaSpec(target=resolved.target, total=resolved.total)
