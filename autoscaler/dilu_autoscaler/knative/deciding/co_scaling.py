"""A co-scaling policy on Knative: what KPA does by itself about the way from zero, added to any other policy. Pure.

| addition               | rule                                                                                        |
|------------------------|---------------------------------------------------------------------------------------------|
| activation scale       | from zero at least this many replicas, until that many were ready at once                   |
| start without requests | while the first replica starts and no request has waited for it for a stable window, the    |
|                        | platform may give the start up (`Decision.may_give_up`); once it has, the count is 0        |
| excess burst capacity  | KPA's own: it tells which way requests go, whichever policy decides on the count            |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dilu_autoscaler.policy.horizontal import AnyPolicy, Bounds, Decision, Observation, Policy, bounded
from dilu_autoscaler.policy.horizontal.kpa.burst_capacity import excess_burst_capacity
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec
from dilu_autoscaler.policy.horizontal.observations import quiet_after


@dataclass(frozen=True, slots=True, kw_only=True)
class CoScalingSpec:
    """One revision's settings."""

    policy: Any
    """The co-scaling policy's own."""
    kpa: KpaSpec
    bounds: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class CoScalingState:
    """What is remembered between two decisions."""

    policy: Any
    """The co-scaling policy's own state."""
    quiet_samples: int
    """Newest samples in a row without a request; a stable window of them is assumed before the first sample."""
    activates: bool = False
    """It comes from zero and has not had as many ready replicas at once as its activation scale says."""
    may_give_up: bool = False


def on_knative(policy: AnyPolicy) -> Policy[CoScalingSpec, CoScalingState]:
    """Return the policy with these additions. Its name stays, and its settings are a `CoScalingSpec`."""

    def initial_state(spec: CoScalingSpec, seen: Observation, now_s: float) -> CoScalingState:
        own = policy.initial_state(spec.policy, seen, now_s)
        return CoScalingState(policy=own, quiet_samples=spec.kpa.stable_window_s)

    def decide(
        spec: CoScalingSpec, seen: Observation, state: CoScalingState, now_s: float
    ) -> tuple[Decision, CoScalingState]:
        decision, own = policy.decide(spec.policy, seen, state.policy, now_s)
        activates = state.activates
        if state.may_give_up and seen.ready == seen.starting == seen.waiting == 0:
            decision = replace(decision, replicas=0, reason=f"0: the start was given up; else {decision.reason}")
        else:
            decision, activates = _activated(spec, seen, decision, was_activating=activates)
        quiet = 0 if seen.waiting else quiet_after(seen.samples, state.quiet_samples)
        may_give_up = seen.is_coming_up and quiet >= spec.kpa.stable_window_s
        excess = decision.excess_burst_capacity
        if excess is None and seen.averaged is not None:
            excess = excess_burst_capacity(spec.kpa, ready=seen.ready, panic=seen.averaged.averages.panic)
        decision = replace(decision, excess_burst_capacity=excess, may_give_up=may_give_up)
        return decision, CoScalingState(policy=own, quiet_samples=quiet, activates=activates, may_give_up=may_give_up)

    return Policy(name=policy.name, settings_for=policy.settings_for, initial_state=initial_state, decide=decide)


def _activated(
    spec: CoScalingSpec, seen: Observation, decision: Decision, *, was_activating: bool
) -> tuple[Decision, bool]:
    """Return the decision, raised to the activation scale from zero, and whether that still holds."""
    replicas = bounded(decision, spec.bounds, desired=seen.desired).replicas
    if replicas is None:
        return decision, was_activating
    activation_scale = spec.bounds.clamp(spec.kpa.activation_scale)
    activates = replicas > 0 and seen.ready < activation_scale and (was_activating or seen.desired == 0)
    if not activates or replicas >= activation_scale:
        return decision, activates
    reason = f"activation scale {activation_scale} instead of {replicas}: {decision.reason}"
    return replace(decision, replicas=activation_scale, reason=reason), activates
