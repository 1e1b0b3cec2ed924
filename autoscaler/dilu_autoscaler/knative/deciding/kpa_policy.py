"""KPA in the loop as Knative runs it: every two seconds, on averages over windows that the source keeps.

The arithmetic is `policy.horizontal.kpa.rule.evaluate`. Elsewhere the loop hands KPA the values of each second and KPA
keeps the windows; on Knative they belong to the collector, because a report may come late, and twice for one second.
"""

from __future__ import annotations

from typing import Final

from dilu_autoscaler.policy.horizontal import Decision, Observation
from dilu_autoscaler.policy.horizontal.kpa.rule import evaluate
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec, kpa_spec_for
from dilu_autoscaler.policy.horizontal.kpa.state import KpaState, state_for_ready
from dilu_autoscaler.policy.horizontal.registry import Policy


def _initial_state(spec: KpaSpec, seen: Observation, now_s: float) -> KpaState:
    if seen.averaged is None:
        return state_for_ready(spec, seen.ready, now_s)
    return state_for_ready(spec, seen.averaged.first_ready, seen.averaged.first_s)


def _decide(spec: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> tuple[Decision, KpaState]:
    averages = None if seen.averaged is None else seen.averaged.averages
    return evaluate(spec, averages, seen.ready, state, now_s)


AVERAGED_KPA: Final[Policy[KpaSpec, KpaState]] = Policy(
    name="kpa", settings_for=kpa_spec_for, initial_state=_initial_state, decide=_decide
)
"""It decides on `Observation.averaged`, and holds without it. Settings are a `KpaSpec`."""
