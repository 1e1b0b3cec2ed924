"""Policies by name."""

from __future__ import annotations

import pytest

from dilu.errors import ConfigError
from dilu.spec import function_spec
from dilu.spec.applications import ScalePolicy
from dilu_autoscaler.policy.horizontal import (
    DEFAULT_POLICY,
    POLICIES,
    Bounds,
    Observation,
    Sample,
    policy_named,
    scale_spec_for,
)

NAMES = ["dilu", "dilu-paper", "dilu-target", "eager", "hpa", "infless", "kpa", "ray-serve"]


def test_the_names_are_the_known_ones() -> None:
    assert sorted(POLICIES) == NAMES
    assert policy_named(DEFAULT_POLICY).name == "dilu"
    assert all(policy.name == name for name, policy in POLICIES.items())


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=rf"^policy = 'hpb', must be one of: {', '.join(NAMES)}$"):
        scale_spec_for(function_spec("echo"), "hpb")


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_decides_on_a_functions_own_spec(name: str) -> None:
    spec = scale_spec_for(function_spec("embed", batch=8, min_scale=1, max_scale=3), name)
    assert (spec.name, spec.policy.name) == ("embed", name)
    assert spec.bounds == Bounds(min_replicas=1, max_replicas=3)
    seen = Observation(samples=(Sample(t_s=9.0, concurrency=2.0, rps=5.0),), ready=1, desired=1, learned_rps=40.0)
    state = spec.policy.initial_state(spec.settings, seen, 10.0)
    decision, _ = spec.policy.decide(spec.settings, seen, state, 10.0)
    assert decision.replicas in (1, None)


def test_an_application_file_can_name_each_policy() -> None:
    assert [policy.value for policy in ScalePolicy] == sorted(POLICIES)
