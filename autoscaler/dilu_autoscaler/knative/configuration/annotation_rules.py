"""The annotations that scale a revision, and the valid values of each. Source: the Knative contract, §4.5."""

from __future__ import annotations

from typing import Final

from dilu.spec import names
from dilu.spec.go_durations import NS_PER_S
from dilu_autoscaler.knative.configuration.annotations import Annotation, integer, is_whole_seconds, nanoseconds, number
from dilu_autoscaler.policy.horizontal.kpa.settings import UNLIMITED_BURST, Aggregation

PREFIX: Final = "autoscaling.knative.dev/"
CLASS: Final = f"{PREFIX}class"
METRIC: Final = f"{PREFIX}metric"

_HOUR_NS: Final = 3600 * NS_PER_S
MIN_RPS: Final = 1e-6
"""Less than one request in eleven days: a lower throughput of a replica counts as not known."""
_MAX_TARGET: Final = 1e100
"""Products of larger targets would overflow a double."""

TARGET: Final = Annotation(
    keys=(f"{PREFIX}target",),
    parse=number,
    rule="must be a number of at least 0.01",
    obeys=lambda value: value >= 0.01,
    is_usable=lambda value: 0 <= value <= _MAX_TARGET,
)
UTILIZATION: Final = Annotation(
    keys=(f"{PREFIX}target-utilization-percentage", f"{PREFIX}targetUtilizationPercentage"),
    parse=number,
    rule="must be a number in 1..100",
    obeys=lambda value: 1 <= value <= 100,
    is_usable=lambda value: 0 <= value <= _MAX_TARGET,
)
BURST: Final = Annotation(
    keys=(f"{PREFIX}target-burst-capacity", f"{PREFIX}targetBurstCapacity"),
    parse=number,
    rule="must be a number of at least 0, or -1 for no limit",
    obeys=lambda value: value >= 0 or value == UNLIMITED_BURST,
    is_usable=lambda value: 0 <= value <= _MAX_TARGET or value == UNLIMITED_BURST,
)
WINDOW: Final = Annotation(
    keys=(f"{PREFIX}window",),
    parse=nanoseconds,
    rule="must be a duration of whole seconds in 6s..1h",
    obeys=lambda value: value >= 6 * NS_PER_S,
    is_usable=lambda value: NS_PER_S <= value <= _HOUR_NS and is_whole_seconds(value),
)
PANIC_WINDOW: Final = Annotation(
    keys=(f"{PREFIX}panic-window-percentage", f"{PREFIX}panicWindowPercentage"),
    parse=number,
    rule="must be a number in 1..100",
    obeys=lambda value: value >= 1,
    is_usable=lambda value: 0 <= value <= 100,
)
PANIC_THRESHOLD: Final = Annotation(
    keys=(f"{PREFIX}panic-threshold-percentage", f"{PREFIX}panicThresholdPercentage"),
    parse=number,
    rule="must be a number in 110..1000",
    obeys=lambda value: 110 <= value <= 1000,
    is_usable=lambda value: value / 100 > 0,
)
MIN_SCALE: Final = Annotation(
    keys=(names.MIN_SCALE, names.MIN_SCALE_ALIAS),
    parse=integer,
    rule="must be a whole number of at least 0",
    obeys=lambda value: value >= 0,
    is_usable=lambda value: value >= 0,
)
MAX_SCALE: Final = Annotation(
    keys=(names.MAX_SCALE, names.MAX_SCALE_ALIAS),
    parse=integer,
    rule="must be a whole number of at least 0, which means no limit",
    obeys=lambda value: value >= 0,
    is_usable=lambda value: value >= 0,
)
INITIAL_SCALE: Final = Annotation(
    keys=(f"{PREFIX}initial-scale", f"{PREFIX}initialScale"),
    parse=integer,
    rule="must be a whole number of at least 0",
    obeys=lambda value: value >= 0,
    is_usable=lambda value: value >= 0,
)
ACTIVATION_SCALE: Final = Annotation(
    keys=(f"{PREFIX}activation-scale",),
    parse=integer,
    rule="must be a whole number of at least 2",
    obeys=lambda value: value >= 2,
    is_usable=lambda value: value >= 0,
)
SCALE_DOWN_DELAY: Final = Annotation(
    keys=(f"{PREFIX}scale-down-delay", f"{PREFIX}scaleDownDelay"),
    parse=nanoseconds,
    rule="must be a duration of whole seconds in 0..1h",
    obeys=is_whole_seconds,
    is_usable=lambda value: 0 <= value <= _HOUR_NS,
)
RETENTION: Final = Annotation(
    keys=(f"{PREFIX}scale-to-zero-pod-retention-period", f"{PREFIX}scaleToZeroPodRetentionPeriod"),
    parse=nanoseconds,
    rule="must be a duration in 0..1h",
    obeys=lambda value: value <= _HOUR_NS,
    is_usable=lambda value: value >= 0,
)
PROGRESS_DEADLINE: Final = Annotation(
    keys=("serving.knative.dev/progress-deadline",),
    parse=nanoseconds,
    rule="must be a duration of whole seconds",
    obeys=is_whole_seconds,
    is_usable=lambda value: value >= 0,
)
AGGREGATION: Final = Annotation(
    keys=(f"{PREFIX}metric-aggregation-algorithm", f"{PREFIX}metricAggregationAlgorithm"),
    parse={
        "": Aggregation.LINEAR,
        "linear": Aggregation.LINEAR,
        "weighted-exponential": Aggregation.WEIGHTED_EXPONENTIAL,
        "weightedExponential": Aggregation.WEIGHTED_EXPONENTIAL,
    }.get,
    rule="must be linear or weighted-exponential",
    obeys=lambda value: True,
    is_usable=lambda value: True,
)
