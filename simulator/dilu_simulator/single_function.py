"""One function under one workload, with no device to share: what a horizontal policy alone does."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

from dilu.batching import ExecutionFit
from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals
from dilu.spec import FunctionSpec, function_spec
from dilu_autoscaler.policy.horizontal import AnyPolicy, Bounds, ScaleSpec
from dilu_simulator.event_queue import US_PER_S, EventQueue
from dilu_simulator.function_settings import FunctionSetting
from dilu_simulator.replicas import BatchRunner, FixedExecution
from dilu_simulator.workloads import arrivals_us
from dilu_simulator.world import SimulatedWorld

_DRAIN_S: Final = 86_400
"""The time that a run may take after its workload; requests unanswered by then never are."""
_MAX_WARM: Final = 100_000
_MAX_BATCH_S: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRun:
    """One function's capacity, objective and start, and the policy that scales it."""

    policy: AnyPolicy
    capacity_rps: float
    """Of one replica: a batch takes batch / capacity, whatever its size."""
    batch: int = 4
    slo_ms: float = 250.0
    cold_start_s: float = 10.0
    min_replicas: int = 1
    max_replicas: int | None = None
    warm_replicas: int = 1
    admits_by_slo: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("capacity", self.capacity_rps), ("slo", self.slo_ms)):
            if not 0 < value < math.inf:
                raise ConfigError(f"{name} = {value}, must be a finite number above 0")
        if not 0 <= self.cold_start_s < math.inf:
            raise ConfigError(f"cold start = {self.cold_start_s} s, must be 0 or more")
        if not 0 <= self.warm_replicas <= _MAX_WARM:
            raise ConfigError(f"warm replicas = {self.warm_replicas}, must be from 0 to {_MAX_WARM:,}")
        if self.batch_us > _MAX_BATCH_S * US_PER_S:
            raise ConfigError(f"capacity = {self.capacity_rps:g} rps, a batch of {self.batch} would take over a day")
        if self.batch_us < 1:
            raise ConfigError(
                f"capacity = {self.capacity_rps:g} rps, a batch of {self.batch} would take less than 1 µs"
            )

    @property
    def batch_us(self) -> int:
        """How long a batch takes."""
        return round(self.batch / self.capacity_rps * US_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleResult:
    """The result of one run."""

    requests: int
    slo_violation_ratio: float
    """Requests that were refused, answered after the objective, or not answered a day after the workload, of all."""
    cold_starts: int
    """Replicas that were started; those that were warm at the beginning are none."""
    instance_seconds: float
    """From the decisions to start them to their ends, within the workload."""
    p95_ms: float | None
    """Of those that were answered. None: there were none."""

    def as_mapping(self) -> dict[str, int | float | None]:
        """Return the result as a JSON object."""
        return asdict(self)


class _OwnDevices:
    """Every replica gets a device of its own."""

    def __init__(self, events: EventQueue, batch_us: int) -> None:
        self._execution = FixedExecution(events, batch_us)

    def place(self, spec: FunctionSpec) -> BatchRunner:
        return self._execution

    def leave(self, execution: BatchRunner) -> None:
        pass


def simulate_single(run: SingleRun, arrivals: Arrivals) -> SingleResult:
    """Run the function under a load until the last request is answered, or a day has passed after its end."""
    spec = function_spec(
        "function",
        slo_ms=run.slo_ms,
        batch=run.batch,
        rps_request=run.capacity_rps,
        rps_limit=run.capacity_rps,
        min_scale=run.min_replicas,
        max_scale=run.max_replicas,
    )
    scaled = ScaleSpec(
        name=spec.name,
        policy=run.policy,
        settings=run.policy.settings_for(spec),
        bounds=Bounds(min_replicas=run.min_replicas, max_replicas=run.max_replicas),
    )
    ends_us = math.ceil(arrivals.duration_s * US_PER_S)
    events = EventQueue()
    world = SimulatedWorld(events)
    setting = FunctionSetting(
        spec=spec,
        fit=ExecutionFit(fixed_s=run.batch_us / US_PER_S, per_item_s=0.0),
        cold_start_us=round(run.cold_start_s * US_PER_S),
        warm_replicas=run.warm_replicas,
        ends_us=ends_us,
        admits_by_slo=run.admits_by_slo,
    )
    world.add(setting, scaled, arrivals_us(arrivals, Random(run.seed)), _OwnDevices(events, run.batch_us))
    events.run_until(ends_us)
    world.drain(ends_us + _DRAIN_S * US_PER_S)
    function = world.functions[spec.name]
    requests = function.latencies.count + function.refused + function.outstanding
    p95_us = function.latencies.percentile_us(95)
    return SingleResult(
        requests=requests,
        slo_violation_ratio=(function.refused_or_late + function.outstanding) / max(1, requests),
        cold_starts=function.cold_starts,
        instance_seconds=function.replica_us / US_PER_S,
        p95_ms=None if p95_us is None else p95_us / 1000,
    )
