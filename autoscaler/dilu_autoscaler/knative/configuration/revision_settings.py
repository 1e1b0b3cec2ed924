"""What one revision is scaled by: the annotations of its PodAutoscaler, over the cluster's configuration.

Pure, and never an error: what cannot be used is as good as absent, and said. Source: the Knative contract, §1.1, §2.1,
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
    """What is collected of one revision: its Metric."""

    stable_window_s: int
    panic_window_s: int
    is_scraped: bool
    """Whether its pods are asked. Where they are not, all is reported by activators, and silence means no load."""
    aggregation: Aggregation = Aggregation.LINEAR
    """As it is at the first `collect`; Knative does not notice a later change."""


Value = TypeVar("Value")

UNREACHABLE: Final = "Unreachable"
_HPA_CLASS: Final = "hpa.autoscaling.knative.dev"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionSettings:
    """One revision's settings, resolved."""

    kpa: KpaSpec
    least: int
    """min-scale. It does not hold where the revision is unreachable: see `kpa.reachable`."""
    most: int
    """max-scale; 0: no limit."""
    initial: int
    retention_s: float
    progress_deadline_s: float
    class_: str
    """The class annotation; empty where there is none, and then Knative passes the object over."""
    function: FunctionSpec | None
    """What its author says of it, for co-scaling. None: not opted in, and KPA decides."""
    collection: Collection
    complaints: tuple[str, ...] = ()
    """What is wrong with the annotations: name, value seen, rule, and what becomes of it."""

    @property
    def is_opted_in(self) -> bool:
        """Whether the co-scaling policy decides, and not KPA."""
        return self.function is not None

    @property
    def total(self) -> float:
        """Load that one replica can take."""
        return self.kpa.total

    @property
    def tbc(self) -> float:
        """Target burst capacity; -1: no limit, so that activators always stay in the path."""
        return self.kpa.target_burst_capacity


def settings_of(pa: PodAutoscaler, config: Config) -> RevisionSettings:
    """How a PodAutoscaler wants its revision scaled."""
    annotations, complaints = pa.metadata.annotations, list[str]()
    cluster = config.autoscaler
    kpa = _kpa(pa, cluster, complaints)
    least, most, initial = _scales(annotations, cluster, complaints)
    retention_ns = rules.RETENTION.read(annotations, complaints)
    deadline_ns = rules.PROGRESS_DEADLINE.read(annotations, complaints)
    return RevisionSettings(
        kpa=kpa,
        least=least,
        most=most,
        initial=initial,
        retention_s=cluster.retention_s if retention_ns is None else retention_ns / NS_PER_S,
        progress_deadline_s=config.deployment.progress_deadline_s if deadline_ns is None else deadline_ns / NS_PER_S,
        class_=annotations.get(CLASS, ""),
        function=_function(pa, least if kpa.reachable else 0, most, complaints),
        collection=Collection(
            stable_window_s=kpa.stable_window_s,
            panic_window_s=kpa.panic_window_s,
            is_scraped=kpa.target_burst_capacity != UNLIMITED_BURST,
            aggregation=kpa.aggregation,
        ),
        complaints=tuple(complaints),
    )


def metric_annotation(pa: PodAutoscaler) -> str:
    """The metric's name, with Knative's default for the class where the annotation is absent."""
    by_class = {KPA_CLASS: "concurrency", _HPA_CLASS: "cpu"}
    found = pa.metadata.annotations.get(METRIC)
    return by_class.get(pa.metadata.annotations.get(CLASS, KPA_CLASS), "") if found is None else found


def _kpa(pa: PodAutoscaler, cluster: AutoscalerConfig, complaints: list[str]) -> KpaSpec:
    annotations = pa.metadata.annotations
    metric, resolved = _target(pa, cluster, complaints)
    window_ns = rules.WINDOW.read(annotations, complaints)
    stable_window_s = cluster.stable_window_s if window_ns is None else window_ns // NS_PER_S
    panic_percent = _or(rules.PANIC_WINDOW.read(annotations, complaints), cluster.panic_window_percentage)
    delay_ns = rules.SCALE_DOWN_DELAY.read(annotations, complaints)
    return KpaSpec(
        target=resolved.target,
        total=resolved.total,
        target_burst_capacity=_or(rules.BURST.read(annotations, complaints), cluster.target_burst_capacity),
        stable_window_s=stable_window_s,
        panic_window_s=panic_window_s(stable_window_s, panic_percent),
        panic_threshold_ratio=_panic_threshold(annotations, cluster, complaints),
        max_scale_up_rate=cluster.max_scale_up_rate,
        max_scale_down_rate=cluster.max_scale_down_rate,
        activation_scale=rules.ACTIVATION_SCALE.read(annotations, complaints) or 0,
        scale_down_delay_s=cluster.scale_down_delay_s if delay_ns is None else -(-delay_ns // NS_PER_S),
        reachable=pa.spec.reachability != UNREACHABLE,
        metric=metric,
        aggregation=rules.AGGREGATION.read(annotations, complaints) or Aggregation.LINEAR,
    )


def _target(pa: PodAutoscaler, cluster: AutoscalerConfig, complaints: list[str]) -> tuple[ScalingMetric, Target]:
    annotations, said = pa.metadata.annotations, metric_annotation(pa)
    metric = ScalingMetric.RPS if said == ScalingMetric.RPS else ScalingMetric.CONCURRENCY
    if said not in tuple(ScalingMetric) and annotations.get(CLASS) == KPA_CLASS:
        complaints.append(f"{METRIC} = {shown(said)}, must be concurrency or rps; concurrency is used")
    concurrency = max(0, pa.spec.container_concurrency)
    # Knative limits the annotation `target` by containerConcurrency only where the metric is called by its name.
    is_limited = said == ScalingMetric.CONCURRENCY
    return metric, resolve_target(
        metric=metric,
        container_concurrency=concurrency if is_limited else 0,
        default_concurrency=cluster.concurrency_target if is_limited or not concurrency else float(concurrency),
        default_utilization_ratio=cluster.utilization_ratio,
        default_rps=cluster.rps_target,
        target=rules.TARGET.read(annotations, complaints),
        utilization_percent=rules.UTILIZATION.read(annotations, complaints),
    )


def _panic_threshold(annotations: Mapping[str, str], cluster: AutoscalerConfig, complaints: list[str]) -> float:
    percent = rules.PANIC_THRESHOLD.read(annotations, complaints)
    if percent is not None:
        return percent / 100
    # Nobody checks the cluster's own value; at 0 Knative is always in panic.
    return max(cluster.panic_threshold_percentage / 100, sys.float_info.min)


def _scales(annotations: Mapping[str, str], cluster: AutoscalerConfig, complaints: list[str]) -> tuple[int, int, int]:
    """The least, the most, and the initial scale."""
    least = _or(rules.MIN_SCALE.read(annotations, complaints), cluster.min_scale)
    most = _or(rules.MAX_SCALE.read(annotations, complaints), cluster.max_scale)
    initial = rules.INITIAL_SCALE.read(annotations, complaints)
    if most and least > most:
        complaints.append(f"{names.MAX_SCALE} = {most}, must be at least min-scale, which is {least}")
    if initial == 0 and not cluster.allow_zero_initial_scale:
        complaints.append(
            f"{rules.INITIAL_SCALE.keys[0]} = 0, needs allow-zero-initial-scale in config-autoscaler; it is ignored"
        )
        initial = None
    return least, most, _or(initial, cluster.initial_scale)


def _function(pa: PodAutoscaler, least: int, most: int, complaints: list[str]) -> FunctionSpec | None:
    """What the author says of the function. Its bounds are those that Knative applies now, the cluster's included."""
    said = {key: text for key, text in pa.metadata.annotations.items() if key.startswith(names.PREFIX)}
    if names.SM_REQUEST not in said:
        return None
    try:
        function = from_annotations(pa.metadata.name, said)
        for key, rps in ((names.RPS_REQUEST, function.rps_request), (names.RPS_LIMIT, function.rps_limit)):
            if rps is not None and rps < rules.MIN_RPS:
                raise ConfigError(f"function {pa.metadata.name}: {key} = {rps:g}, must be at least {rules.MIN_RPS:g}")
        return replace(function, min_scale=least, max_scale=max(least, most) if most else None)
    except DiluError as error:
        complaints.append(f"{error}; it is scaled by KPA until that is mended")
        return None


def _or(value: Value | None, default: Value) -> Value:
    return default if value is None else value
