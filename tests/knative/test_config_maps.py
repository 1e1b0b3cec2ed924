"""Knative's ConfigMaps: stock's defaults, stock's rules, and a bad map that changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu.errors import ConfigError
from dilu_autoscaler.knative.configuration.config import (
    AUTOSCALER,
    CONFIG_MAPS,
    DEPLOYMENT,
    AutoscalerConfig,
    Config,
    ConfigStore,
    DeploymentConfig,
    LeaderElectionConfig,
    NetworkConfig,
    parse_autoscaler,
    parse_deployment,
    parse_leader_election,
    parse_logging,
    parse_network,
    parse_observability,
)


def test_an_empty_map_means_stocks_defaults() -> None:
    assert parse_autoscaler({"_example": "anything: at all"}) == AutoscalerConfig()
    assert parse_network({}) == NetworkConfig()
    assert parse_leader_election({}) == LeaderElectionConfig()
    assert parse_deployment({"queue-sidecar-image": "queue"}) == DeploymentConfig()


def test_every_key_is_read() -> None:
    found = parse_autoscaler(
        {
            "container-concurrency-target-percentage": "0.5",
            "container-concurrency-target-default": "10.0",
            "requests-per-second-target-default": "7",
            "target-burst-capacity": "-1",
            "stable-window": "1m30s",
            "panic-window-percentage": "12.5",
            "panic-threshold-percentage": "300",
            "max-scale-up-rate": "10",
            "max-scale-down-rate": "1.5",
            "enable-scale-to-zero": "F",
            "scale-to-zero-grace-period": "1500ms",
            "scale-to-zero-pod-retention-period": "1h",
            "pod-autoscaler-class": "mine.example.io",
            "activator-capacity": "150",
            "initial-scale": "0",
            "allow-zero-initial-scale": "true",
            "min-scale": "2",
            "max-scale": "9",
            "max-scale-limit": "20",
            "scale-down-delay": "15m",
            "tick-interval": "dead",
        }
    )
    assert found == AutoscalerConfig(
        concurrency_target=10.0,
        utilization_ratio=0.5,
        rps_target=7.0,
        target_burst_capacity=-1.0,
        stable_window_s=90,
        panic_window_percentage=12.5,
        panic_threshold_percentage=300.0,
        max_scale_up_rate=10.0,
        max_scale_down_rate=1.5,
        scale_to_zero=False,
        scale_to_zero_grace_s=1.5,
        retention_s=3600.0,
        default_class="mine.example.io",
        activator_capacity=150.0,
        initial_scale=0,
        allow_zero_initial_scale=True,
        min_scale=2,
        max_scale=9,
        max_scale_limit=20,
        scale_down_delay_s=900,
    )


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("container-concurrency-target-percentage", "0", "share above 0"),
        ("container-concurrency-target-percentage", "101", "up to 100"),
        ("container-concurrency-target-default", "0.01", "at least 0.01"),
        ("container-concurrency-target-default", "many", "must be a number"),
        ("container-concurrency-target-default", "1_0", "must be a number"),
        ("container-concurrency-target-default", "inf", "must be a number"),
        ("requests-per-second-target-default", "0.001", "at least 0.01"),
        ("target-burst-capacity", "-2", "or -1"),
        ("stable-window", "5s", "at least 6 s"),
        ("stable-window", "2h", "at most 3600 s"),
        ("stable-window", "60", "duration"),
        ("stable-window", "60500ms", "whole seconds"),
        ("panic-window-percentage", "0.5", "at least 1"),
        ("panic-window-percentage", "100.5", "at most 100"),
        ("max-scale-up-rate", "1", "above 1"),
        ("max-scale-down-rate", "0.9", "above 1"),
        ("enable-scale-to-zero", "yes", "true or false"),
        ("scale-to-zero-grace-period", "0s", "above 0 s"),
        ("scale-to-zero-pod-retention-period", "-1s", "at least 0 s"),
        ("activator-capacity", "0.5", "at least 1"),
        ("initial-scale", "0", "only with allow-zero-initial-scale"),
        ("initial-scale", "-1", "at least 0"),
        ("initial-scale", "1.5", "whole number"),
        ("min-scale", "99999999999", "whole number"),
        ("scale-down-delay", "1500ms", "whole seconds"),
    ],
)
def test_what_stock_refuses_is_refused_by_name(key: str, value: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"ConfigMap config-autoscaler: {key} = '{value}'.*{rule}"):
        parse_autoscaler({key: value})


@pytest.mark.parametrize(
    "data",
    [
        {"min-scale": "3", "max-scale": "2"},
        {"max-scale-limit": "5"},
        {"max-scale-limit": "5", "max-scale": "6"},
    ],
)
def test_scales_that_contradict_are_refused(data: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="scale"):
        parse_autoscaler(data)


def test_other_maps_are_checked_too() -> None:
    for parse, data in [
        (parse_deployment, {}),
        (parse_deployment, {"queue-sidecar-image": "q", "progress-deadline": "0s"}),
        (parse_network, {"mesh-compatibility-mode": "sometimes"}),
        (parse_leader_election, {"buckets": "11"}),
        (parse_leader_election, {"lease-duration": "30s"}),
        (parse_observability, {"metrics-protocol": "opencensus"}),
        (parse_logging, {"loglevel.autoscaler": "loud"}),
    ]:
        with pytest.raises(ConfigError, match="ConfigMap config-"):
            parse(data)
    assert parse_network({"mesh-compatibility-mode": "Disabled"}).mesh_mode == "disabled"


def test_a_bad_map_keeps_the_one_before_and_says_so() -> None:
    store = ConfigStore()
    assert store.update(AUTOSCALER, {"stable-window": "30s"}) is None
    error = store.update(AUTOSCALER, {"stable-window": "soon", "max-scale": "3"})
    assert error is not None
    assert "stable-window = 'soon'" in error
    assert store.config.autoscaler == AutoscalerConfig(stable_window_s=30)
    assert store.update(DEPLOYMENT, {"queue-sidecar-image": "q", "progress-deadline": "2m"}) is None
    assert store.config.deployment.progress_deadline_s == 120.0
    assert store.config.autoscaler.stable_window_s == 30


def test_a_deleted_map_stays_in_force() -> None:
    store = ConfigStore()
    store.update(AUTOSCALER, {"stable-window": "30s"})
    assert "deleted" in (store.update(AUTOSCALER, None) or "")
    assert store.config.autoscaler.stable_window_s == 30


@given(
    name=st.sampled_from(CONFIG_MAPS),
    data=st.dictionaries(
        st.sampled_from(["stable-window", "min-scale", "max-scale-up-rate", "buckets", "progress-deadline", "x"]),
        st.text(max_size=12),
    ),
)
def test_any_text_is_taken_or_complained_of(name: str, data: dict[str, str]) -> None:
    store = ConfigStore()
    if store.update(name, data) is not None:
        assert store.config == Config()
