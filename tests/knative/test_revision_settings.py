"""What a revision is scaled by: annotations over the cluster's configuration, and what is said about bad ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.knative.configuration.annotation_rules import PREFIX
from dilu_autoscaler.knative.configuration.annotations import integer, nanoseconds, number
from dilu_autoscaler.knative.configuration.config import AutoscalerConfig, Config, DeploymentConfig
from dilu_autoscaler.knative.configuration.revision_settings import RevisionSettings, settings_of
from dilu_autoscaler.policy.horizontal.kpa.settings import Aggregation, ScalingMetric
from knative.revisions import autoscaler

FULL = AutoscalerConfig(utilization_ratio=1.0)  # as in Knative's own tests of targets


def settings(
    annotations: dict[str, str] | None = None, config: AutoscalerConfig | None = None, **spec: Any
) -> RevisionSettings:
    return settings_of(autoscaler(annotations=annotations, spec=spec), Config(autoscaler=config or AutoscalerConfig()))


@dataclass(frozen=True, kw_only=True)
class TargetCase:
    name: str
    annotations: dict[str, str] = field(default_factory=dict)
    concurrency: int = 0
    config: AutoscalerConfig = FULL
    target: float
    total: float


TARGETS = [
    TargetCase(name="defaults", target=100, total=100),
    TargetCase(
        name="the cluster's default and share",
        config=AutoscalerConfig(concurrency_target=2.0, utilization_ratio=0.3),
        target=0.6,
        total=2,
    ),
    TargetCase(
        name="containerConcurrency", concurrency=10, config=AutoscalerConfig(utilization_ratio=0.8), target=8, total=10
    ),
    TargetCase(name="annotation of 1", annotations={"target": "1"}, target=1, total=1),
    TargetCase(
        name="annotation and share",
        annotations={"target": "10"},
        config=AutoscalerConfig(utilization_ratio=0.75),
        target=7.5,
        total=10,
    ),
    TargetCase(name="annotation above the default", annotations={"target": "500"}, target=500, total=500),
    TargetCase(name="rps", annotations={"metric": "rps"}, concurrency=1, target=140, total=200),
    TargetCase(
        name="rps and share",
        annotations={"metric": "rps", "target-utilization-percentage": "75"},
        target=150,
        total=200,
    ),
    TargetCase(
        name="the annotation is above containerConcurrency",
        annotations={"target": "10"},
        concurrency=1,
        target=1,
        total=1,
    ),
    TargetCase(
        name="containerConcurrency does not limit a metric of another name",
        annotations={"target": "10", "metric": "gpu"},
        concurrency=1,
        target=10,
        total=10,
    ),
    TargetCase(
        name="containerConcurrency counts for a metric of another name",
        annotations={"metric": "gpu"},
        concurrency=3,
        target=3,
        total=3,
    ),
]


@pytest.mark.parametrize("case", TARGETS, ids=lambda case: case.name)
def test_the_target_is_resolved_as_in_knative(case: TargetCase) -> None:
    found = settings(case.annotations, case.config, container_concurrency=case.concurrency)
    assert (found.kpa.target, found.total) == (case.target, case.total)


@pytest.mark.parametrize(
    ("window", "percentage", "panic_s"),
    [("60s", "10", 6), ("10s", "10", 1), ("600s", "10", 60), ("60s", "50", 30), ("1m", "51", 31)],
)
def test_the_panic_window_is_a_share_of_the_stable_one(window: str, percentage: str, panic_s: int) -> None:
    found = settings({"window": window, "panic-window-percentage": percentage})
    assert (found.kpa.panic_window_s, found.collection.panic_window_s) == (panic_s, panic_s)
    assert found.collection.stable_window_s == found.kpa.stable_window_s


def test_without_annotations_all_is_the_clusters() -> None:
    cluster = AutoscalerConfig(
        target_burst_capacity=7.0,
        stable_window_s=30,
        panic_window_percentage=20.0,
        panic_threshold_percentage=300.0,
        max_scale_up_rate=5.0,
        max_scale_down_rate=3.0,
        retention_s=12.0,
        initial_scale=3,
        min_scale=1,
        max_scale=9,
        scale_down_delay_s=4,
    )
    found = settings_of(autoscaler(), Config(autoscaler=cluster, deployment=DeploymentConfig(progress_deadline_s=99.0)))
    kpa = found.kpa
    assert (found.tbc, kpa.stable_window_s, kpa.panic_window_s, kpa.panic_threshold_ratio) == (7.0, 30, 6, 3.0)
    assert (kpa.max_scale_up_rate, kpa.max_scale_down_rate, kpa.scale_down_delay_s) == (5.0, 3.0, 4)
    assert (found.min_scale, found.max_scale, found.initial_scale, found.retention_s) == (1, 9, 3, 12.0)
    assert (found.progress_deadline_s, found.errors, found.is_opted_in) == (99.0, (), False)
    assert kpa.activation_scale == 0
    assert kpa.metric is ScalingMetric.CONCURRENCY
    assert kpa.aggregation is Aggregation.LINEAR


def test_annotations_win_over_the_cluster() -> None:
    found = settings_of(
        autoscaler(
            annotations={
                "target-burst-capacity": "-1",
                "window": "40s",
                "panic-threshold-percentage": "150",
                "min-scale": "2",
                "max-scale": "0",
                "initial-scale": "4",
                "activation-scale": "3",
                "scale-down-delay": "1m30s",
                "scale-to-zero-pod-retention-period": "1m1s1ms",
                "metric-aggregation-algorithm": "weighted-exponential",
                "serving.knative.dev/progress-deadline": "5s",
            }
        ),
        Config(autoscaler=AutoscalerConfig(max_scale=5, retention_s=3.0)),
    )
    assert (found.tbc, found.kpa.stable_window_s, found.kpa.panic_threshold_ratio) == (-1.0, 40, 1.5)
    assert (found.min_scale, found.max_scale, found.initial_scale, found.kpa.activation_scale) == (2, 0, 4, 3)
    assert (found.kpa.scale_down_delay_s, found.retention_s, found.progress_deadline_s) == (90, 61.001, 5.0)
    assert found.kpa.aggregation is Aggregation.WEIGHTED_EXPONENTIAL
    assert found.collection.aggregation is Aggregation.WEIGHTED_EXPONENTIAL
    assert not found.collection.is_scraped  # the activators are always in the path, and report all
    assert found.errors == ()


ALIASES = {
    "target-utilization-percentage": ("targetUtilizationPercentage", "50"),
    "target-burst-capacity": ("targetBurstCapacity", "5"),
    "panic-window-percentage": ("panicWindowPercentage", "50"),
    "panic-threshold-percentage": ("panicThresholdPercentage", "900"),
    "min-scale": ("minScale", "2"),
    "max-scale": ("maxScale", "7"),
    "initial-scale": ("initialScale", "6"),
    "scale-down-delay": ("scaleDownDelay", "9s"),
    "scale-to-zero-pod-retention-period": ("scaleToZeroPodRetentionPeriod", "8s"),
    "metric-aggregation-algorithm": ("metricAggregationAlgorithm", "weightedExponential"),
}


@pytest.mark.parametrize("key", ALIASES)
def test_the_older_spelling_of_an_annotation_counts_where_the_newer_is_absent(key: str) -> None:
    alias, text = ALIASES[key]
    assert settings({alias: text}) == settings({key: text}) != settings()
    assert settings({key: "nonsense", alias: text}).kpa == settings().kpa  # the first that is there counts


@pytest.mark.parametrize("key", ["Window", "activationScale", "target_burst_capacity"])
def test_other_spellings_do_not_count(key: str) -> None:
    assert settings({key: "9"}) == settings()


BAD = [
    ("target", "a lot", "must be a number of at least 0.01"),
    ("target", "-5", "must be a number of at least 0.01"),
    ("target", "inf", "must be a number of at least 0.01"),
    ("target", " 5", "must be a number of at least 0.01"),
    ("target", "1_0", "must be a number of at least 0.01"),
    ("target", "٣", "must be a number of at least 0.01"),
    ("target-utilization-percentage", "70%", "must be a number in 1..100"),
    ("target-burst-capacity", "-2", "must be a number of at least 0, or -1 for no limit"),
    ("target-burst-capacity", "nan", "must be a number of at least 0, or -1 for no limit"),
    ("window", "60", "must be a duration of whole seconds in 6s..1h"),
    ("window", "6500ms", "must be a duration of whole seconds in 6s..1h"),
    ("window", "2h", "must be a duration of whole seconds in 6s..1h"),
    ("window", "-6s", "must be a duration of whole seconds in 6s..1h"),
    ("panic-window-percentage", "101", "must be a number in 1..100"),
    ("panic-threshold-percentage", "0", "must be a number in 110..1000"),
    ("min-scale", "-1", "must be a whole number of at least 0"),
    ("min-scale", "3000000000", "must be a whole number of at least 0"),
    ("max-scale", "4.0", "must be a whole number of at least 0, which means no limit"),
    ("initial-scale", "", "must be a whole number of at least 0"),
    ("activation-scale", "many", "must be a whole number of at least 2"),
    ("scale-down-delay", "1d", "must be a duration of whole seconds in 0..1h"),
    ("scale-to-zero-pod-retention-period", "-1s", "must be a duration in 0..1h"),
    ("metric-aggregation-algorithm", "median", "must be linear or weighted-exponential"),
    ("serving.knative.dev/progress-deadline", "soon", "must be a duration of whole seconds"),
]


@pytest.mark.parametrize(("key", "text", "rule"), BAD)
def test_what_cannot_be_used_is_absent_and_said(key: str, text: str, rule: str) -> None:
    found = settings({key: text})
    name = key if "/" in key else f"{PREFIX}{key}"
    assert found.errors == (f"{name} = {text!r}, {rule}; it is ignored",)
    without = settings()
    assert (found.kpa, found.min_scale, found.max_scale, found.initial_scale) == (
        without.kpa,
        without.min_scale,
        without.max_scale,
        without.initial_scale,
    )
    assert (found.retention_s, found.progress_deadline_s) == (without.retention_s, without.progress_deadline_s)


@pytest.mark.parametrize(
    ("key", "text", "seen"),
    [
        ("target", "0.001", lambda found: found.total == 0.001 and found.kpa.target == 0.01),
        ("target-utilization-percentage", "250", lambda found: found.kpa.target == 250.0),
        ("window", "2s", lambda found: found.kpa.stable_window_s == 2),
        ("panic-window-percentage", "0.5", lambda found: found.kpa.panic_window_s == 1),
        ("panic-threshold-percentage", "100", lambda found: found.kpa.panic_threshold_ratio == 1.0),
        ("activation-scale", "1", lambda found: found.kpa.activation_scale == 1),
        ("scale-down-delay", "1500ms", lambda found: found.kpa.scale_down_delay_s == 2),
        ("scale-to-zero-pod-retention-period", "2h", lambda found: found.retention_s == 7200.0),
        ("serving.knative.dev/progress-deadline", "1500ms", lambda found: found.progress_deadline_s == 1.5),
    ],
)
def test_what_the_webhook_would_refuse_but_knative_uses_is_used_and_said(key: str, text: str, seen: Any) -> None:
    found = settings({key: text})
    assert seen(found)
    assert len(found.errors) == 1
    assert found.errors[0].endswith("it is used all the same, as by Knative")


def test_an_unknown_metric_of_knatives_class_is_concurrency_and_said() -> None:
    found = settings({"metric": "gpu"})
    assert found.kpa.metric is ScalingMetric.CONCURRENCY
    assert found.errors == (f"{PREFIX}metric = 'gpu', must be concurrency or rps; concurrency is used",)
    assert settings({"metric": "", "class": "coscale.example.io"}).errors == ()


def test_an_initial_scale_of_zero_needs_the_clusters_leave() -> None:
    found = settings({"initial-scale": "0"})
    assert found.initial_scale == 1
    assert "allow-zero-initial-scale" in found.errors[0]
    assert settings({"initial-scale": "0"}, AutoscalerConfig(allow_zero_initial_scale=True)).initial_scale == 0


def test_bounds_that_exclude_each_other_are_said() -> None:
    found = settings({"min-scale": "5", "max-scale": "3"})
    assert (found.min_scale, found.max_scale) == (5, 3)
    assert found.errors == ("autoscaling.knative.dev/max-scale = 3, must be at least min-scale, which is 5",)


@pytest.mark.parametrize(("reachability", "reachable"), [("", True), ("Reachable", True), ("Unreachable", False)])
def test_only_unreachable_is_unreachable(reachability: str, reachable: bool) -> None:
    assert settings(reachability=reachability).kpa.reachable is reachable


def test_a_panic_threshold_of_zero_in_the_cluster_means_always_panic() -> None:
    found = settings(config=AutoscalerConfig(panic_threshold_percentage=0.0))
    assert 0 < found.kpa.panic_threshold_ratio < 1e-300


def test_the_class_is_the_annotations() -> None:
    assert settings().class_ == "kpa.autoscaling.knative.dev"
    assert settings({"class": "other.example.io"}).class_ == "other.example.io"


def test_a_revision_opts_in_by_its_sm_request() -> None:
    found = settings({"dilu.dev/sm-request": "300", "dilu.dev/sm-limit": "600", "min-scale": "2", "max-scale": "5"})
    assert found.is_opted_in
    assert found.function is not None
    assert (found.function.name, found.function.sm_request, found.function.sm_limit) == ("rev", 300, 600)
    assert (found.function.min_scale, found.function.max_scale) == (2, 5)


def test_its_bounds_are_those_that_knative_applies_now() -> None:
    opted_in = {"dilu.dev/sm-request": "300", "min-scale": "6", "max-scale": "3"}
    found = settings(opted_in).function
    assert found is not None
    assert (found.min_scale, found.max_scale) == (6, 6)
    found = settings(opted_in, reachability="Unreachable").function
    assert found is not None
    assert (found.min_scale, found.max_scale) == (0, 3)
    found = settings({"dilu.dev/sm-request": "300", "min-scale": "none"}, AutoscalerConfig(min_scale=1)).function
    assert found is not None
    assert (found.min_scale, found.max_scale) == (1, None)


@pytest.mark.parametrize(
    "annotations",
    [
        {"dilu.dev/sm-request": "300", "dilu.dev/rps-limit": "1e-300"},
        {"dilu.dev/sm-request": "300", "dilu.dev/rps-request": "1e-7"},
        {"dilu.dev/sm-request": "plenty"},
        {"dilu.dev/sm-request": "600", "dilu.dev/sm-limit": "300"},
        {"dilu.dev/sm-request": "300", "dilu.dev/unheard-of": "1"},
    ],
)
def test_what_cannot_be_read_leaves_it_to_kpa_and_is_said(annotations: dict[str, str]) -> None:
    found = settings(annotations)
    assert not found.is_opted_in
    assert len(found.errors) == 1
    assert found.errors[0].endswith("KPA scales it until that is fixed")


def test_without_an_sm_request_the_other_dilu_annotations_are_not_read() -> None:
    found = settings({"dilu.dev/slo-ms": "soon"})
    assert not found.is_opted_in
    assert found.errors == ()


def test_numbers_are_read_as_go_reads_them() -> None:
    assert [number(text) for text in ("1", "+1.5", ".5", "5.", "1e3", "0x1p4", "-0x.8p1")] == [
        1.0,
        1.5,
        0.5,
        5.0,
        1000.0,
        16.0,
        -1.0,
    ]
    bad = ("", ".", "1 ", "1,5", "0x1", "1e", "1e999", "Inf", "NaN", "0x1p99999", "9" * 1000, "e5", "--1")
    assert [number(text) for text in bad] == [None] * len(bad)
    assert [integer(text) for text in ("007", "-0", "2147483648", "-2147483648", "1" * 5000)] == [
        7,
        0,
        None,
        -(2**31),
        None,
    ]
    assert nanoseconds("1s" * 300) is None


KEYS = [f"{PREFIX}{key}" for key in (*ALIASES, *(alias for alias, _ in ALIASES.values()))] + [
    f"{PREFIX}{key}" for key in ("target", "window", "activation-scale", "class", "metric")
]
TEXTS = st.one_of(
    st.text(max_size=40),
    st.from_regex(r"[+-]?[0-9]{0,25}(\.[0-9]{0,8})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"-?([0-9]{1,12}(\.[0-9]{0,4})?(ns|us|ms|s|m|h)){1,3}", fullmatch=True),
    st.sampled_from(["inf", "-Inf", "nan", "1e308", "1e100", "2147483647", "-1", "0", "", "1h", "linear", "rps"]),
    st.integers().map(str),
)
DILU_KEYS = st.sampled_from(["sm-request", "sm-limit", "gpu-memory", "batch", "slo-ms", "kind", "x"]).map(
    lambda key: f"dilu.dev/{key}"
)


@given(
    annotations=st.dictionaries(st.one_of(st.sampled_from(KEYS), DILU_KEYS, st.text(max_size=10)), TEXTS, max_size=12),
    concurrency=st.integers(-5, 2**63 - 1),
    reachability=st.one_of(st.sampled_from(["", "Reachable", "Unreachable"]), st.text(max_size=5)),
    name=st.text(max_size=8),
)
def test_no_annotation_whatsoever_is_an_error(
    annotations: dict[str, str], concurrency: int, reachability: str, name: str
) -> None:
    pa = autoscaler(annotations=annotations, spec={"container_concurrency": concurrency, "reachability": reachability})
    found = settings_of(pa, Config())
    assert found == settings_of(pa, Config())
    assert found.min_scale >= 0
    assert found.max_scale >= 0
    assert found.initial_scale >= 0
    assert found.retention_s >= 0
    assert found.progress_deadline_s >= 0
    assert 1 <= found.collection.panic_window_s <= found.collection.stable_window_s <= 3600
    assert all(len(error) < 1000 and error.isprintable() for error in found.errors)
