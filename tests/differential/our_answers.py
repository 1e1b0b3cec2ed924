"""Our answers to the cases that Knative's peer answers."""

from __future__ import annotations

from typing import Any, TypeAlias

from differential.knative_cases import US_PER_S, Case, Step
from dilu_autoscaler.policy.horizontal.kpa.rule import evaluate
from dilu_autoscaler.policy.horizontal.kpa.settings import KpaSpec
from dilu_autoscaler.policy.horizontal.kpa.state import (
    KpaState,
    averages_now,
    state_for_ready,
    with_points,
    with_windows_as_long_as,
)
from dilu_autoscaler.replay.spec_keys import read_settings

MIDNIGHT_S = 946_684_800
"""2000-01-01 in UTC, where the peer's fake clock begins."""

Answer: TypeAlias = dict[str, Any]


def answer(case: Case) -> Answer:
    """What comes of the case here, in the peer's words."""
    life = _Life(case)
    for step in case["steps"]:
        life.take(step)
    return {"specs": [_resolved(spec) for spec in life.specs], "evaluations": life.evaluations}


class _Life:
    def __init__(self, case: Case) -> None:
        spec = _spec(case["spec"])
        self.specs: list[KpaSpec] = [spec]
        self.evaluations: list[Answer] = []
        self._ready: int | None = case["ready"]
        self._state: KpaState = state_for_ready(spec, self._ready, _time_s(case["t_us"]))

    def take(self, step: Step) -> None:
        now_s = _time_s(step["t_us"])
        match step["do"]:
            case "record":
                at_s = _time_s(step["at_us"])
                self._state = with_points(
                    self._state,
                    concurrency=[(at_s, step["concurrency"] - step["proxied"])],
                    rps=[(at_s, step["count"] - step["proxied_count"])],
                )
            case "ready":
                self._ready = step["ready"]
            case "spec":
                self.specs.append(_spec(step["spec"]))
                self._state = with_windows_as_long_as(self.specs[-1], self._state, now_s)
            case "scale":
                self.evaluations.append(self._evaluated(now_s))

    def _evaluated(self, now_s: float) -> Answer:
        spec = self.specs[-1]
        averages = averages_now(spec, self._state, now_s)
        decision, self._state = evaluate(spec, averages, self._ready, self._state, now_s)
        return {
            "desired": decision.replicas or 0,  # the peer says 0 where there is no result
            "excess": decision.excess_burst_capacity or 0,
            "valid": decision.replicas is not None,
            "stable": None if averages is None else averages.stable,
            "panic": None if averages is None else averages.panic,
            "panicking": decision.panicking,
            "peak": self._state.panic_peak,
        }


def _time_s(time_us: int) -> float:
    return (MIDNIGHT_S * US_PER_S + time_us) / US_PER_S


def _spec(spec: dict[str, Any]) -> KpaSpec:
    more = {"container-concurrency": spec["container_concurrency"], "reachable": spec["reachable"]}
    return read_settings({**spec["config"], **spec["annotations"], **more}).spec


def _resolved(spec: KpaSpec) -> Answer:
    return {
        "target": spec.target,
        "total": spec.total,
        "target_burst_capacity": spec.target_burst_capacity,
        "panic_threshold_ratio": spec.panic_threshold_ratio,
        "stable_window_s": spec.stable_window_s,
        "panic_window_s": spec.panic_window_s,
        "max_scale_up_rate": spec.max_scale_up_rate,
        "max_scale_down_rate": spec.max_scale_down_rate,
        "scale_down_delay_s": spec.scale_down_delay_s,
    }
