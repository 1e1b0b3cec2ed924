"""A policy that is asked once a second, in a world in which its replicas are ready at once."""

from __future__ import annotations

from collections.abc import Sequence

from dilu_autoscaler.policy.horizontal import (
    POLICIES,
    Decision,
    Observation,
    Sample,
)


def decisions_on(
    policy: str, settings: object, rates_rps: Sequence[float], *, replicas: int = 1, in_flight_s: float = 0.05
) -> list[Decision]:
    """The decision after each second; every request is in flight for `in_flight_s`."""
    rule, state, decisions = POLICIES[policy], None, []
    for second, rps in enumerate(rates_rps):
        sample = Sample(t_s=float(second), concurrency=rps * in_flight_s, rps=rps)
        seen = Observation(samples=(sample,), ready=replicas, desired=replicas)
        now_s = second + 1.0
        state = rule.initial_state(settings, seen, now_s) if state is None else state
        decision, state = rule.decide(settings, seen, state, now_s)
        decisions.append(decision)
        replicas = replicas if decision.replicas is None else decision.replicas
    return decisions


def replicas_on(
    policy: str, settings: object, rates_rps: Sequence[float], *, replicas: int = 1, in_flight_s: float = 0.05
) -> list[int]:
    """The number after each second."""
    numbers = []
    for decision in decisions_on(policy, settings, rates_rps, replicas=replicas, in_flight_s=in_flight_s):
        replicas = replicas if decision.replicas is None else decision.replicas
        numbers.append(replicas)
    return numbers
