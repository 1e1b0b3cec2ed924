"""A policy that is fed from a file: Knative's own evaluations for `kpa`, the loop's observations for all others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from dilu.errors import ConfigError
from dilu.spec import from_mapping
from dilu_autoscaler.policy.horizontal import (
    AnyPolicy,
    Decision,
    Observation,
    Sample,
)
from dilu_autoscaler.policy.horizontal.kpa.rule import evaluate
from dilu_autoscaler.policy.horizontal.kpa.state import (
    KpaState,
    averages_now,
    state_for_ready,
    with_points,
    with_windows_as_long_as,
)
from dilu_autoscaler.policy.horizontal.observations import Averages
from dilu_autoscaler.replay.recorded_lines import LineKind, RecordedLine
from dilu_autoscaler.replay.spec_keys import KpaSettings, read_settings

_AVERAGES: Final = ("stable", "panic")


class Scaler(Protocol):
    """Decides on what it is fed, line by line. The first `change` makes it."""

    def change(self, keys: Mapping[str, object], now_s: float) -> None:
        """Let the spec be these keys from now on."""
        ...

    def feed(self, line: RecordedLine, now_s: float) -> None:
        """Take in what the line says, but for its spec."""
        ...

    def decide(self, now_s: float) -> Decision:
        """How many replicas, from all that was fed."""
        ...


class KpaScaler:
    """KPA as Knative evaluates it: the averages of a line, or those of the windows that the values went into."""

    def __init__(self) -> None:
        self._settings: KpaSettings | None = None
        self._state: KpaState | None = None
        self._ready: int | None = None
        self._given: RecordedLine | None = None

    def change(self, keys: Mapping[str, object], now_s: float) -> None:
        """Let the spec be these keys from now on; `initial-ready` counts at the first call only."""
        self._settings = settings = read_settings(keys)
        if self._state is None:
            self._state = state_for_ready(settings.spec, settings.initial_ready, now_s)
            self._ready = settings.initial_ready
        else:
            self._state = with_windows_as_long_as(settings.spec, self._state, now_s)

    def feed(self, line: RecordedLine, now_s: float) -> None:
        """Put the line's values into the windows, or keep its averages for the decision."""
        assert self._state is not None
        self._ready = line.replicas.get("ready", self._ready)
        self._given = line if line.kind is LineKind.AVERAGES else None
        points = {key: [(line.t_s, line.loads[key])] for key in ("concurrency", "rps") if key in line.loads}
        if points:
            self._state = with_points(self._state, **points)

    def decide(self, now_s: float) -> Decision:
        """Return what Knative decides from the line's averages, or else from the windows."""
        assert self._state is not None
        assert self._settings is not None
        spec, given = self._settings.spec, self._given
        if given is None:
            averages = averages_now(spec, self._state, now_s)
        elif all(key in given.loads for key in _AVERAGES):
            averages = Averages(stable=given.loads["stable"], panic=given.loads["panic"])
        else:
            averages = None
        decision, self._state = evaluate(spec, averages, self._ready, self._state, now_s)
        return replace(decision, reason="hold: no data") if given is not None and averages is None else decision


class PolicyScaler:
    """Any other policy, as the loop runs it: each decision sees the seconds that were over since the one before."""

    def __init__(self, policy: AnyPolicy, *, reads_kpa_keys: bool) -> None:
        self._policy = policy
        self._reads_kpa_keys = reads_kpa_keys
        self._settings: Any = None
        self._state: Any = None
        self._is_made = False
        self._replicas: dict[str, Any] = {}
        self._seconds: dict[int, Sample] = {}
        self._seen_until_s = -1
        self._desired: int | None = None

    def change(self, keys: Mapping[str, object], now_s: float) -> None:
        """Let the spec be these keys from now on: those of a function in a dilu.yaml, or KPA's."""
        if self._reads_kpa_keys:
            settings = read_settings(keys)
            self._settings = settings.spec
            self._replicas.setdefault("ready", settings.initial_ready)
        else:
            self._settings = self._policy.settings_for(from_mapping({"name": "replayed", **keys}))
            self._replicas.setdefault("ready", 0)

    def feed(self, line: RecordedLine, now_s: float) -> None:
        """Add the line's values to its second. Averages are refused: they are KPA's own."""
        if line.kind is LineKind.AVERAGES:
            rule = f"{self._policy.name} needs the values of each second (concurrency, rps)"
            raise ConfigError(f"{line.position.file}:{line.position.line}: averages are for the policy kpa; {rule}")
        self._replicas.update(line.replicas)
        if line.loads and math.floor(line.t_s) > self._seen_until_s:
            second = math.floor(line.t_s)
            self._seconds[second] = _with_loads(self._seconds.get(second), float(second), line.loads)

    def decide(self, now_s: float) -> Decision:
        """Return the policy's decision; the desired number is the file's, or else the one decided last."""
        if self._replicas["ready"] is None:
            return Decision(replicas=None, reason="hold: the number of ready replicas is unknown")
        replicas = {"desired": self._replicas["ready"] if self._desired is None else self._desired, **self._replicas}
        seen = Observation(samples=self._over_by(now_s), **replicas)
        if not self._is_made:
            self._state, self._is_made = self._policy.initial_state(self._settings, seen, now_s), True
        decision, self._state = self._policy.decide(self._settings, seen, self._state, now_s)
        self._desired = seen.desired if decision.replicas is None else decision.replicas
        return decision

    def _over_by(self, now_s: float) -> tuple[Sample, ...]:
        over = sorted(second for second in self._seconds if second + 1 <= now_s)
        self._seen_until_s = max(self._seen_until_s, math.floor(now_s) - 1)
        return tuple([self._seconds.pop(at) for at in over])


def _with_loads(known: Sample | None, t_s: float, loads: Mapping[str, float]) -> Sample:
    """Return the sample of a second with the values of one more line added; what no line reports stays unknown."""
    so_far = Sample(t_s=t_s, concurrency=0.0, rps=0.0) if known is None else known
    missed = so_far.missed
    if "missed" in loads:
        missed = loads["missed"] + (0.0 if missed is None else missed)
    return Sample(
        t_s=t_s,
        concurrency=so_far.concurrency + loads.get("concurrency", 0.0),
        rps=so_far.rps + loads.get("rps", 0.0),
        missed=missed,
    )
