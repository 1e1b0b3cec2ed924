"""KPA's settings under the names that people know: config-autoscaler's keys and the annotations' short names."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dilu.spec.fields import FieldError, number_or_text, unknown_key, whole_number
from dilu.spec.go_durations import NS_PER_S, duration_ns
from dilu_autoscaler.policy.horizontal.kpa.settings import (
    Aggregation,
    KpaSpec,
    ScalingMetric,
    panic_window_s,
    resolve_target,
)

INITIAL_READY: Final = "initial-ready"
MIN_TARGET_VALUE: Final = 1e-6
_AGGREGATIONS: Final = {
    "": Aggregation.LINEAR,
    "linear": Aggregation.LINEAR,
    "weighted-exponential": Aggregation.WEIGHTED_EXPONENTIAL,
    "weightedExponential": Aggregation.WEIGHTED_EXPONENTIAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class KpaSettings:
    """What a replay by KPA needs to know of a function."""

    spec: KpaSpec
    initial_ready: int = 0
    """Replicas that were ready when the scaler was made."""


def read_settings(keys: Mapping[str, object]) -> KpaSettings:
    """Return the settings that the keys describe; absent and null ones are Knative's defaults.

    Raises `FieldError` for a key that is unknown or whose value cannot be used, `ConfigError` for what contradicts.
    """
    values: dict[str, Any] = {}
    for key, value in keys.items():
        if key not in _READERS:
            raise unknown_key(key, SPEC_KEYS)
        if value is not None:
            values[key] = _READERS[key](key, value)
    return KpaSettings(spec=_spec(values), initial_ready=values.get(INITIAL_READY, 0))


def _spec(values: dict[str, Any]) -> KpaSpec:
    metric = values.get("metric", ScalingMetric.CONCURRENCY)
    resolved = resolve_target(
        metric=metric,
        container_concurrency=values.get("container-concurrency", 0),
        default_concurrency=values.get("container-concurrency-target-default", 100.0),
        default_utilization_ratio=values.get("container-concurrency-target-percentage", 0.7),
        default_rps=values.get("requests-per-second-target-default", 200.0),
        target=values.get("target"),
        utilization_percent=values.get("target-utilization-percentage"),
    )
    stable_window_s = values.get("window", values.get("stable-window", 60))
    return KpaSpec(
        target=values.get("target-value", resolved.target),
        total=values.get("total-value", resolved.total),
        target_burst_capacity=values.get("target-burst-capacity", 211.0),
        stable_window_s=stable_window_s,
        panic_window_s=panic_window_s(stable_window_s, values.get("panic-window-percentage", 10.0)),
        panic_threshold_ratio=values.get("panic-threshold-percentage", 200.0) / 100,
        max_scale_up_rate=values.get("max-scale-up-rate", 1000.0),
        max_scale_down_rate=values.get("max-scale-down-rate", 2.0),
        activation_scale=values.get("activation-scale", 0),
        scale_down_delay_s=values.get("scale-down-delay", 0),
        reachable=values.get("reachable", True),
        metric=metric,
        aggregation=values.get("metric-aggregation-algorithm", Aggregation.LINEAR),
    )


def keys_of(spec: KpaSpec, *, initial_ready: int = 0) -> dict[str, object]:
    """Return the keys from which `read_settings` reads that spec again, bit for bit."""
    return {
        "metric": str(spec.metric),
        "target-value": spec.target,
        "total-value": spec.total,
        "target-burst-capacity": spec.target_burst_capacity,
        "window": f"{spec.stable_window_s}s",
        "panic-window-percentage": _panic_percentage(spec),
        "panic-threshold-percentage": _percentage(spec.panic_threshold_ratio),
        "max-scale-up-rate": spec.max_scale_up_rate,
        "max-scale-down-rate": spec.max_scale_down_rate,
        "activation-scale": spec.activation_scale,
        "scale-down-delay": f"{spec.scale_down_delay_s}s",
        "metric-aggregation-algorithm": str(spec.aggregation),
        "reachable": spec.reachable,
        INITIAL_READY: initial_ready,
    }


def _panic_percentage(spec: KpaSpec) -> float:
    exact = 100.0 * spec.panic_window_s / max(1, spec.stable_window_s)
    return min(max(exact, 1.0), 100.0)


def _percentage(ratio: float) -> float:
    """Return the percentage that divided by 100 is the ratio again; for some, the product is a neighbour of it."""
    product = ratio * 100
    near = (product, math.nextafter(product, 0), math.nextafter(product, math.inf))
    return next((percentage for percentage in near if percentage / 100 == ratio), product)


# --- values ----------------------------------------------------------------------------------------------------------


def _number(key: str, value: object) -> float:
    number = number_or_text(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
        raise FieldError(key, "must be a number", value)
    return float(number)


def _within(least: float, most: float) -> Callable[[str, object], float]:
    def read(key: str, value: object) -> float:
        number = _number(key, value)
        if not least <= number <= most:
            raise FieldError(key, f"must be a number from {least:g} to {most:g}", value)
        return number

    return read


def _above(least: float) -> Callable[[str, object], float]:
    def read(key: str, value: object) -> float:
        number = _number(key, value)
        if not number > least:
            raise FieldError(key, f"must be a number above {least:g}", value)
        return number

    return read


def _burst(key: str, value: object) -> float:
    number = _number(key, value)
    if number < 0 and number != -1:
        raise FieldError(key, "must be a number of at least 0, or -1 for no limit", value)
    return number


def _share(key: str, value: object) -> float:
    """Above 1 it is a percentage, up to 1 a share."""
    number = _number(key, value)
    share = number / 100 if number > 1 else number
    if not 0 < share <= 1:
        raise FieldError(key, "must be a percentage above 1 and up to 100, or a share above 0 and up to 1", value)
    return share


def _whole_seconds(key: str, value: object) -> int:
    """Return a duration: a number is in seconds, a text has its unit."""
    exact_ns = duration_ns(value) if isinstance(value, str) else int(_number(key, value) * NS_PER_S)
    if exact_ns is None:
        raise FieldError(key, "must be a duration such as 60s or 1m30s", value)
    if exact_ns < 0 or exact_ns % NS_PER_S:
        raise FieldError(key, "must be whole seconds, and not below 0", value)
    return exact_ns // NS_PER_S


def _count(key: str, value: object) -> int:
    return whole_number(key, number_or_text(value) if isinstance(value, str) else value, minimum=0)


def _flag(key: str, value: object) -> bool:
    flag = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    if not isinstance(flag, bool):
        raise FieldError(key, "must be true or false", value)
    return flag


def _metric(key: str, value: object) -> ScalingMetric:
    if value not in list(ScalingMetric):
        raise FieldError(key, f"must be one of {', '.join(ScalingMetric)}", value)
    return ScalingMetric(str(value))


def _aggregation(key: str, value: object) -> Aggregation:
    if not isinstance(value, str) or value not in _AGGREGATIONS:
        raise FieldError(key, f"must be one of {', '.join(Aggregation)}", value)
    return _AGGREGATIONS[value]


def _unused(key: str, value: object) -> None:
    """Known, and of no effect here: what KPA decides is not what these limit."""


_READERS: Final[dict[str, Callable[[str, object], Any]]] = {
    "metric": _metric,
    "target": _above(0),
    "target-utilization-percentage": _within(1, 100),
    "target-burst-capacity": _burst,
    "window": _whole_seconds,
    "panic-window-percentage": _within(1, 100),
    "panic-threshold-percentage": _above(0),
    "max-scale-up-rate": _above(1),
    "max-scale-down-rate": _above(1),
    "activation-scale": _count,
    "scale-down-delay": _whole_seconds,
    "metric-aggregation-algorithm": _aggregation,
    "reachable": _flag,
    INITIAL_READY: _count,
    "target-value": _within(MIN_TARGET_VALUE, math.inf),
    "total-value": _within(0, math.inf),
    "container-concurrency": _count,
    "stable-window": _whole_seconds,
    "container-concurrency-target-default": _above(0),
    "container-concurrency-target-percentage": _share,
    "requests-per-second-target-default": _above(0),
    **dict.fromkeys(
        (
            "_example",
            "activator-capacity",
            "allow-zero-initial-scale",
            "class",
            "enable-scale-to-zero",
            "initial-scale",
            "max-scale",
            "max-scale-limit",
            "min-scale",
            "pod-autoscaler-class",
            "scale-to-zero-grace-period",
            "scale-to-zero-pod-retention-period",
        ),
        _unused,
    ),
}
SPEC_KEYS: Final = tuple(_READERS)
