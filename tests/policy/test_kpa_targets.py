"""How Knative's settings become a target and windows (G), and which settings are refused."""

from __future__ import annotations

from typing import Any

import pytest

from dilu.errors import ConfigError
from dilu.spec import function_spec
from dilu_autoscaler.policy.horizontal.kpa.settings import (
    KpaSpec,
    ScalingMetric,
    kpa_spec_for,
    panic_window_s,
    resolve_target,
)

CLUSTER: dict[str, Any] = {"default_utilization_ratio": 1.0}


@pytest.mark.parametrize(
    ("inputs", "target", "total"),
    [
        pytest.param({}, 100, 100, id="defaults"),
        pytest.param({"default_concurrency": 2.0, "default_utilization_ratio": 0.3}, 0.6, 2, id="cluster default"),
        pytest.param(
            {"container_concurrency": 10, "default_utilization_ratio": 0.8}, 8, 10, id="container concurrency"
        ),
        pytest.param({"target": 1.0}, 1, 1, id="annotation 1"),
        pytest.param({"target": 10.0, "default_utilization_ratio": 0.75}, 7.5, 10, id="annotation 10"),
        pytest.param({"target": 500.0}, 500, 500, id="annotation 500"),
        pytest.param({"metric": ScalingMetric.RPS, "container_concurrency": 1}, 140, 200, id="rps"),
        pytest.param({"metric": ScalingMetric.RPS, "utilization_percent": 75.0}, 150, 200, id="rps, utilisation"),
        pytest.param({"target": 20.0, "container_concurrency": 5}, 5, 5, id="the less of both"),
        pytest.param(
            {"target": 20.0, "container_concurrency": 5, "metric": ScalingMetric.RPS}, 14, 20, id="not of rps"
        ),
        pytest.param({"target": 0.001}, 0.01, 0.001, id="never below 0.01"),
    ],
)
def test_g_target_and_total(inputs: dict[str, Any], target: float, total: float) -> None:
    resolved = resolve_target(**(CLUSTER | inputs))
    assert resolved.target == pytest.approx(target)
    assert resolved.total == total


@pytest.mark.parametrize(
    ("stable_s", "percentage", "panic_s"),
    [(60, 10, 6), (10, 10, 1), (600, 10, 60), (60, 50, 30), (60, 51, 31), (6, 1, 1), (25, 10, 3)],
)
def test_g_panic_window(stable_s: int, percentage: float, panic_s: int) -> None:
    assert panic_window_s(stable_s, percentage) == panic_s


def test_a_replica_of_a_batching_function_takes_two_batches_in_flight() -> None:
    spec = kpa_spec_for(function_spec("embed", batch=16))
    assert spec.total == 32
    assert spec.target == pytest.approx(22.4)


def test_without_a_batch_size_knatives_defaults_stay() -> None:
    assert kpa_spec_for(function_spec("echo")) == KpaSpec(target=70.0, total=100.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": 0.0}, "target = 0.0, must be > 0"),
        ({"target": float("nan")}, "target = nan, must be > 0"),
        ({"target_burst_capacity": -2.0}, "target-burst-capacity = -2.0, must be >= 0 or -1"),
        ({"stable_window_s": -1}, "window = -1, must be >= 0 s"),
        ({"panic_window_s": 0}, "panic window = 0, must be >= 1 s"),
        ({"max_scale_up_rate": 1.0}, "max-scale-up-rate = 1.0, must be > 1"),
        ({"max_scale_down_rate": 0.5}, "max-scale-down-rate = 0.5, must be > 1"),
    ],
    ids=str,
)
def test_impossible_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}$"):
        KpaSpec(**change)
