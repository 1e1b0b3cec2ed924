"""The policies by name. One more policy is one more line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal import (
    dilu_paper,
    eager,
    hpa,
    infless,
    ray_serve,
)
from dilu_autoscaler.policy.horizontal.bounds import Bounds
from dilu_autoscaler.policy.horizontal.dilu import rule as dilu_rule
from dilu_autoscaler.policy.horizontal.dilu import settings as dilu_settings
from dilu_autoscaler.policy.horizontal.dilu_target import rule as target_rule
from dilu_autoscaler.policy.horizontal.dilu_target import settings as target_settings
from dilu_autoscaler.policy.horizontal.kpa import rule as kpa_rule
from dilu_autoscaler.policy.horizontal.kpa import settings as kpa_settings
from dilu_autoscaler.policy.horizontal.observations import Decision, Observation

SettingsT = TypeVar("SettingsT")
StateT = TypeVar("StateT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy(Generic[SettingsT, StateT]):
    """A horizontal policy: three pure functions. All time comes in as `now_s`, all memory is the state."""

    name: str
    settings_for: Callable[[FunctionSpec], SettingsT]
    """Returns the policy's settings for a function, from the function's own spec."""
    initial_state: Callable[[SettingsT, Observation, float], StateT]
    """Returns the first state of a function; the same observation is then decided on."""
    decide: Callable[[SettingsT, Observation, StateT, float], tuple[Decision, StateT]]
    """Returns the decision and the next state."""


AnyPolicy = Policy[Any, Any]

POLICIES: Final[dict[str, AnyPolicy]] = {
    policy.name: policy
    for policy in (
        Policy(
            name="dilu",
            settings_for=dilu_settings.coscale_spec_for,
            initial_state=dilu_rule.initial_state,
            decide=dilu_rule.decide,
        ),
        Policy(
            name="dilu-paper",
            settings_for=dilu_paper.dilu_paper_spec_for,
            initial_state=dilu_paper.initial_state,
            decide=dilu_paper.decide,
        ),
        Policy(
            name="dilu-target",
            settings_for=target_settings.target_settings_for,
            initial_state=target_rule.initial_state,
            decide=target_rule.decide,
        ),
        Policy(
            name="eager",
            settings_for=eager.eager_spec_for,
            initial_state=eager.initial_state,
            decide=eager.decide,
        ),
        Policy(
            name="hpa",
            settings_for=hpa.hpa_spec_for,
            initial_state=hpa.initial_state,
            decide=hpa.decide,
        ),
        Policy(
            name="infless",
            settings_for=infless.infless_spec_for,
            initial_state=infless.initial_state,
            decide=infless.decide,
        ),
        Policy(
            name="kpa",
            settings_for=kpa_settings.kpa_spec_for,
            initial_state=kpa_rule.initial_state,
            decide=kpa_rule.decide,
        ),
        Policy(
            name="ray-serve",
            settings_for=ray_serve.ray_serve_spec_for,
            initial_state=ray_serve.initial_state,
            decide=ray_serve.decide,
        ),
    )
}
DEFAULT_POLICY: Final = "dilu"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleSpec:
    """What the loop needs to scale one function."""

    name: str
    policy: AnyPolicy
    settings: object
    """The policy's own settings, such as a `KpaSpec`."""
    bounds: Bounds = field(default_factory=Bounds)


def policy_named(name: str) -> AnyPolicy:
    """Return the policy of that name. Raises `ConfigError` with the known names."""
    try:
        return POLICIES[name]
    except KeyError:
        raise ConfigError(f"policy = {name!r}, must be one of: {', '.join(sorted(POLICIES))}") from None


def scale_spec_for(function: FunctionSpec, policy: str = DEFAULT_POLICY) -> ScaleSpec:
    """Return what the loop needs to scale one function by the policy of that name."""
    chosen = policy_named(policy)
    return ScaleSpec(
        name=function.name,
        policy=chosen,
        settings=chosen.settings_for(function),
        bounds=Bounds(min_replicas=function.min_scale, max_replicas=function.max_scale),
    )
