"""KPA in the loop, as Knative asks it: with the averages of windows that others keep, every two seconds.

The arithmetic is `policy.kpa.evaluate`. Elsewhere the loop hands KPA each second's values and KPA keeps the windows; on
Knative the windows belong to the collector, for a report may come late, and twice for one second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.policy.horizontal import Decision, Observation
from dilu_autoscaler.policy.horizontal.kpa.rule import evaluate
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec, kpa_spec_for
from dilu_autoscaler.policy.horizontal.kpa.state import Averages, KpaState, state_for_ready
from dilu_autoscaler.policy.horizontal.registry import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class AveragedObservation(Observation):
    """An observation whose load is averaged already."""

    averages: Averages
    first_ready: int
    """Replicas that were ready when the revision was first looked at, with data or without."""
    first_s: float


def _initial_state(spec: KpaSpec, seen: Observation, now_s: float) -> KpaState:
    assert isinstance(seen, AveragedObservation)
    return state_for_ready(spec, seen.first_ready, seen.first_s)


def _decide(spec: KpaSpec, seen: Observation, state: KpaState, now_s: float) -> tuple[Decision, KpaState]:
    assert isinstance(seen, AveragedObservation)
    return evaluate(spec, seen.averages, seen.ready, state, now_s)


AVERAGED_KPA: Final[Policy[KpaSpec, KpaState]] = Policy(
    name="kpa", settings_for=kpa_spec_for, initial_state=_initial_state, decide=_decide
)
"""Settings are a `KpaSpec`, observations are an `AveragedObservation`."""
