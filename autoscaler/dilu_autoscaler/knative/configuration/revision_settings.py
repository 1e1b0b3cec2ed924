"""The settings of one revision: the annotations of its PodAutoscaler, over the cluster's configuration.

Pure. It never raises: an unusable annotation counts as absent and becomes a validation error.
Source: the Knative contract, §1.1, §2.1,
§4.1 and §4.5.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from dilu.errors import ConfigError, DiluError
from dilu.spec import FunctionSpec, from_annotations, names
from dilu.spec.go_durations import NS_PER_S
from dilu_autoscaler.knative.configuration import annotation_rules as rules
from dilu_autoscaler.knative.configuration.annotation_rules import CLASS, METRIC
from dilu_autoscaler.knative.configuration.annotations import shown
from dilu_autoscaler.knative.configuration.config import KPA_CLASS, AutoscalerConfig, Config
from dilu_autoscaler.knative.objects import PodAutoscaler
from dilu_autoscaler.policy.horizontal.kpa.settings import (
    UNLIMITED_BURST,
    Aggregation,
    KpaSpec,
    ScalingMetric,
    Target,
    panic_window_s,
    resolve_target,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What is collected of one revision, as in its Metric."""

    stable_window_s: int
    panic_window_s: int
    is_scraped: bool
    """Whether its pods are scraped. Otherwise activators report all load, and no report means no load."""
    aggregation: Aggregation = Aggregation.LINEAR
    """The value at the first `collect`; Knative ignores later changes."""


Value = TypeVar("Value")

UNREACHABLE: Final = "Unreachable"
_HPA_CLASS: Final = "hpa.autoscaling.knative.dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionSettings:
    """The resolved settings of one revision."""

    kpa: KpaSpec
    min_scale: int
    """It does not apply while the revision is unreachable: see `kpa.reachable`."""
    max_scale: int
    """0: no limit."""
    initial_scale: int
    retention_s: float
    progress_deadline_s: float
    class_: str
    """The class annotation; "": it has none, and Knative ignores the object."""
    function: FunctionSpec | None
    """Its function spec, for co-scaling. None: not opted in, KPA decides."""
    collection: Collection
    errors: tuple[str, ...] = ()
    """Validation errors of the annotations: name, value, rule, and the consequence."""

    @property
    def is_opted_in(self) -> bool:
        """Return whether the co-scaling policy decides, and not KPA."""
        return self.function is not None

    @property
    def total(self) -> float:
        """Return the load that one replica can take."""
        return self.kpa.total

    @property
    def tbc(self) -> float:
        """Return the target burst capacity; -1: no limit, so that activators always stay in the path."""
        return self.kpa.target_burst_capacity


def settings_of(pa: PodAutoscaler, config: Config) -> RevisionSettings:
    """Return the settings of a PodAutoscaler's revision."""
    annotations, errors = pa.metadata.annotations, list[str]()
    cluster = config.autoscaler
    kpa = _kpa(pa, cluster, errors)
    min_scale, max_scale, initial_scale = _scales(annotations, cluster, errors)
    retention_ns = rules.RETENTION.read(annotations, errors)
    deadline_ns = rules.PROGRESS_DEADLINE.read(annotations, errors)
    return RevisionSettings(
        kpa=kpa,
        min_scale=min_scale,
        max_scale=max_scale,
        initial_scale=initial_scale,
        retention_s=cluster.retention_s if retention_ns is None else retention_ns / NS_PER_S,
        progress_deadline_s=config.deployment.progress_deadline_s if deadline_ns is None else deadline_ns / NS_PER_S,
        class_=annotations.get(CLASS, ""),
        function=_function(pa, min_scale if kpa.reachable else 0, max_scale, errors),
        collection=Collection(
            stable_window_s=kpa.stable_window_s,
            panic_window_s=kpa.panic_window_s,
            is_scraped=kpa.target_burst_capacity != UNLIMITED_BURST,
            aggregation=kpa.aggregation,
        ),
        errors=tuple(errors),
    )


def metric_annotation(pa: PodAutoscaler) -> str:
    """Return the metric's name; without the annotation, Knative's default for the class."""
    by_class = {KPA_CLASS: "concurrency", _HPA_CLASS: "cpu"}
    found = pa.metadata.annotations.get(METRIC)
    return by_class.get(pa.metadata.annotations.get(CLASS, KPA_CLASS), "") if found is None else found


def _kpa(pa: PodAutoscaler, cluster: AutoscalerConfig, errors: list[str]) -> KpaSpec:
    annotations = pa.metadata.annotations
    metric, resolved = _target(pa, cluster, errors)
    window_ns = rules.WINDOW.read(annotations, errors)
    stable_window_s = cluster.stable_window_s if window_ns is None else window_ns // NS_PER_S
    panic_percent = _or(rules.PANIC_WINDOW.read(annotations, errors), cluster.panic_window_percentage)
    delay_ns = rules.SCALE_DOWN_DELAY.read(annotations, errors)
    return KpaSpec(
        target=resolved.target,
        total=resolved.total,
        target_burst_capacity=_or(rules.BURST.read(annotations, errors), cluster.target_burst_capacity),
        stable_window_s=stable_window_s,
        panic_window_s=panic_window_s(stable_window_s, panic_percent),
        panic_threshold_ratio=_panic_threshold(annotations, cluster, errors),
        max_scale_up_rate=cluster.max_scale_up_rate,
        max_scale_down_rate=cluster.max_scale_down_rate,
        activation_scale=rules.ACTIVATION_SCALE.read(annotations, errors) or 0,
        scale_down_delay_s=cluster.scale_down_delay_s if delay_ns is None else -(-delay_ns // NS_PER_S),
        reachable=pa.spec.reachability != UNREACHABLE,
        metric=metric,
        aggregation=rules.AGGREGATION.read(annotations, errors) or Aggregation.LINEAR,
    )


def _target(pa: PodAutoscaler, cluster: AutoscalerConfig, errors: list[str]) -> tuple[ScalingMetric, Target]:
    annotations, name = pa.metadata.annotations, metric_annotation(pa)
    metric = ScalingMetric.RPS if name == ScalingMetric.RPS else ScalingMetric.CONCURRENCY
    if name not in tuple(ScalingMetric) and annotations.get(CLASS) == KPA_CLASS:
        errors.append(f"{METRIC} = {shown(name)}, must be concurrency or rps; concurrency is used")
    concurrency = max(0, pa.spec.container_concurrency)
    # Knative limits the annotation `target` by containerConcurrency only where the metric is named explicitly.
    is_limited = name == ScalingMetric.CONCURRENCY
    return metric, resolve_target(
        metric=metric,
        container_concurrency=concurrency if is_limited else 0,
        default_concurrency=cluster.concurrency_target if is_limited or not concurrency else float(concurrency),
        default_utilization_ratio=cluster.utilization_ratio,
        default_rps=cluster.rps_target,
        target=rules.TARGET.read(annotations, errors),
        utilization_percent=rules.UTILIZATION.read(annotations, errors),
    )


def _panic_threshold(annotations: Mapping[str, str], cluster: AutoscalerConfig, errors: list[str]) -> float:
    percent = rules.PANIC_THRESHOLD.read(annotations, errors)
    if percent is not None:
        return percent / 100
    # Knative does not validate the cluster's own value; at 0 it is always in panic.
    return max(cluster.panic_threshold_percentage / 100, sys.float_info.min)


def _scales(annotations: Mapping[str, str], cluster: AutoscalerConfig, errors: list[str]) -> tuple[int, int, int]:
    """Return the min, max and initial scale."""
    min_scale = _or(rules.MIN_SCALE.read(annotations, errors), cluster.min_scale)
    max_scale = _or(rules.MAX_SCALE.read(annotations, errors), cluster.max_scale)
    initial = rules.INITIAL_SCALE.read(annotations, errors)
    if max_scale and min_scale > max_scale:
        errors.append(f"{names.MAX_SCALE} = {max_scale}, must be at least min-scale, which is {min_scale}")
    if initial == 0 and not cluster.allow_zero_initial_scale:
        errors.append(
            f"{rules.INITIAL_SCALE.keys[0]} = 0, needs allow-zero-initial-scale in config-autoscaler; it is ignored"
        )
        initial = None
    return min_scale, max_scale, _or(initial, cluster.initial_scale)


def _function(pa: PodAutoscaler, min_scale: int, max_scale: int, errors: list[str]) -> FunctionSpec | None:
    """Return the function spec. Its bounds are those that Knative applies now, the cluster's included."""
    found = {key: text for key, text in pa.metadata.annotations.items() if key.startswith(names.PREFIX)}
    if names.SM_REQUEST not in found:
        return None
    try:
        function = from_annotations(pa.metadata.name, found)
        for key, rps in ((names.RPS_REQUEST, function.rps_request), (names.RPS_LIMIT, function.rps_limit)):
            if rps is not None and rps < rules.MIN_RPS:
                raise ConfigError(f"function {pa.metadata.name}: {key} = {rps:g}, must be at least {rules.MIN_RPS:g}")
        return replace(function, min_scale=min_scale, max_scale=max(min_scale, max_scale) if max_scale else None)
    except DiluError as error:
        errors.append(f"{error}; KPA scales it until that is fixed")
        return None


def _or(value: Value | None, default: Value) -> Value:
    return default if value is None else value
