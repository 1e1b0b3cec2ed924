"""What the keys of a spec mean."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilu_autoscaler.policy.horizontal.kpa.settings import Aggregation, KpaSpec, ScalingMetric
from dilu_autoscaler.replay.spec_keys import KpaSettings, keys_of, read_settings

STOCK = KpaSpec(activation_scale=0)


def test_absent_and_null_keys_are_knatives_defaults() -> None:
    assert read_settings({}) == read_settings({"target": None}) == KpaSettings(spec=STOCK, initial_ready=0)


@pytest.mark.parametrize(
    ("keys", "field", "value"),
    [
        ({"target": 10}, "target", 7.0),
        ({"target": "10"}, "total", 10.0),
        ({"target": 10, "target-utilization-percentage": 75}, "target", 7.5),
        ({"target": 10, "container-concurrency": 4}, "total", 4.0),
        ({"container-concurrency-target-default": 2, "container-concurrency-target-percentage": 0.3}, "target", 0.6),
        ({"container-concurrency-target-percentage": 30}, "target", 30.0),
        ({"container-concurrency-target-percentage": 1}, "target", 100.0),
        ({"metric": "rps"}, "target", 140.0),
        ({"metric": "rps", "requests-per-second-target-default": 100}, "total", 100.0),
        ({"metric": "rps"}, "metric", ScalingMetric.RPS),
        ({"target": 10, "target-value": 3}, "target", 3.0),
        ({"target": 10, "target-value": 3}, "total", 10.0),
        ({"target": 10, "total-value": 0}, "total", 0.0),
        ({"window": "1m30s"}, "stable_window_s", 90),
        ({"window": 90}, "stable_window_s", 90),
        ({"stable-window": "90s", "window": "10s"}, "stable_window_s", 10),
        ({"stable-window": "90s"}, "panic_window_s", 9),
        ({"window": "60s", "panic-window-percentage": 51}, "panic_window_s", 31),
        ({"panic-threshold-percentage": 150}, "panic_threshold_ratio", 1.5),
        ({"max-scale-up-rate": 1.1}, "max_scale_up_rate", 1.1),
        ({"max-scale-down-rate": "3"}, "max_scale_down_rate", 3.0),
        ({"activation-scale": 5}, "activation_scale", 5),
        ({"scale-down-delay": "5m"}, "scale_down_delay_s", 300),
        ({"target-burst-capacity": -1}, "target_burst_capacity", -1.0),
        ({"metric-aggregation-algorithm": "weightedExponential"}, "aggregation", Aggregation.WEIGHTED_EXPONENTIAL),
        ({"metric-aggregation-algorithm": ""}, "aggregation", Aggregation.LINEAR),
        ({"reachable": "False"}, "reachable", False),
        ({"reachable": False}, "reachable", False),
    ],
    ids=str,
)
def test_a_key_becomes_its_number(keys: dict[str, Any], field: str, value: object) -> None:
    assert getattr(read_settings(keys).spec, field) == value


def test_all_of_a_config_map_is_taken() -> None:
    keys = {
        "_example": "# a long text",
        "activator-capacity": "100",
        "allow-zero-initial-scale": "false",
        "enable-scale-to-zero": "true",
        "initial-scale": "1",
        "max-scale": "0",
        "max-scale-limit": "0",
        "min-scale": "0",
        "pod-autoscaler-class": "kpa.autoscaling.knative.dev",
        "scale-to-zero-grace-period": "30s",
        "scale-to-zero-pod-retention-period": "0s",
    }
    assert read_settings(keys).spec == STOCK


@given(
    st.builds(
        KpaSpec,
        target=st.floats(min_value=0.01, max_value=1e6),
        total=st.floats(min_value=0, max_value=1e6),
        target_burst_capacity=st.one_of(st.just(-1.0), st.floats(min_value=0, max_value=1e6)),
        stable_window_s=st.just(3600),
        panic_window_s=st.integers(min_value=36, max_value=3600),
        panic_threshold_ratio=st.floats(min_value=110, max_value=1000).map(lambda percentage: percentage / 100),
        max_scale_up_rate=st.floats(min_value=1.01, max_value=1e6),
        max_scale_down_rate=st.floats(min_value=1.01, max_value=1e6),
        activation_scale=st.integers(min_value=0, max_value=9),
        scale_down_delay_s=st.integers(min_value=0, max_value=3600),
        reachable=st.booleans(),
        metric=st.sampled_from(ScalingMetric),
        aggregation=st.sampled_from(Aggregation),
    )
)
def test_the_keys_of_a_spec_are_read_as_that_spec_to_the_last_bit(spec: KpaSpec) -> None:
    assert read_settings(keys_of(spec, initial_ready=3)) == KpaSettings(spec=spec, initial_ready=3)


@pytest.mark.parametrize(("stable_s", "panic_s"), [(60, 6), (6, 1), (7, 1), (25, 3), (90, 9), (1, 1)])
def test_the_keys_of_a_short_window_are_read_as_that_window(stable_s: int, panic_s: int) -> None:
    spec = KpaSpec(stable_window_s=stable_s, panic_window_s=panic_s)
    assert read_settings(keys_of(spec)).spec == spec
