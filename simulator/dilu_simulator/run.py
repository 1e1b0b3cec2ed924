"""One scenario under one policy, from the first event to the results."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from dilu.batching import ExecutionFit, ExecutionModel
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal import (
    AnyPolicy,
    Bounds,
    Policy,
    ScaleSpec,
)
from dilu_autoscaler.policy.vertical import VerticalPolicy, vertical_policy_named
from dilu_simulator.arrivals import stream_for
from dilu_simulator.collect_results import collected_results
from dilu_simulator.custom_policies import policy_for
from dilu_simulator.devices import (
    BatchWork,
    Books,
    Cluster,
    LlmWork,
    Placement,
    ShareTimes,
    placement_named,
)
from dilu_simulator.devices.gpu_places import GpuPlaces
from dilu_simulator.event_queue import US_PER_S, EventQueue
from dilu_simulator.function_settings import FunctionSetting
from dilu_simulator.results import Results
from dilu_simulator.run_state import RunningFunction, RunState
from dilu_simulator.scenario.scenarios import (
    InferenceFunction,
    Scenario,
    default_placement,
    reached_milli,
)
from dilu_simulator.scenario.sizes import ClusterSize
from dilu_simulator.timelines import Timeline
from dilu_simulator.training_jobs import SimulatedTraining
from dilu_simulator.workloads import arrivals_us
from dilu_simulator.world import NO_TOKENS, SimulatedWorld

_DRAIN_S: Final = 600.0
"""How long after the end requests may still be answered; one that waits longer waits for room in vain."""


def run_scenario(
    scenario: Scenario,
    *,
    policy: str | AnyPolicy | None = None,
    vertical: str | VerticalPolicy | None = None,
    placement: str | Placement | None = None,
    seed: int = 0,
    timeline_s: float | None = None,
) -> Results:
    """Return the results of the scenario; the same scenario, policies and seed give the same results.

    None stands for the scenario's own. With `timeline_s` there is a row for each function in each such period, which is
    the only thing that makes memory grow with time.
    """
    events = EventQueue()
    named = scenario.vertical if vertical is None else vertical
    chosen = vertical_policy_named(named) if isinstance(named, str) else named
    place = placement or scenario.placement or default_placement(chosen)
    placing = placement_named(place) if isinstance(place, str) else place
    cluster = Cluster(books_for(scenario.cluster), placing, chosen, events)
    world = SimulatedWorld(events)
    ends_us = math.ceil(scenario.duration_s * US_PER_S)
    horizontal = scenario.policy if policy is None else policy
    # Training first: it is there before the functions come, as in the paper's set-up.
    jobs = [SimulatedTraining(job, events=events, cluster=cluster) for job in scenario.training]
    functions = [
        _added(world, cluster, function, _policy(function.policy or horizontal), ends_us, seed)
        for function in scenario.functions
    ]
    running = RunState(events=events, cluster=cluster, functions=functions, jobs=jobs, ends_us=ends_us)
    timeline = None if timeline_s is None else Timeline(running, timeline_s)
    events.run_until(ends_us)
    at_end = running.snapshot()
    world.drain(ends_us + round(_DRAIN_S * US_PER_S))
    results = collected_results(
        running,
        at_end,
        scenario=scenario,
        policy=horizontal if isinstance(horizontal, str) else horizontal.name,
        vertical=chosen.name,
        placement=place if isinstance(place, str) else type(place).__name__,
        seed=seed,
    )
    return results if timeline is None else replace(results, timeline=tuple(timeline.rows))


def books_for(size: ClusterSize) -> Books:
    """Return empty books of a cluster of that size."""
    return Books(
        gpus_per_node=size.gpus_per_node,
        memory_mib=size.gpu_memory_mib,
        omega_milli=size.omega_milli,
        gamma_milli=size.gamma_milli,
        request_milli=[0] * size.gpus,
        limit_milli=[0] * size.gpus,
        booked_mib=[0] * size.gpus,
        tenants=[0] * size.gpus,
    )


def _policy(chosen: str | AnyPolicy) -> AnyPolicy:
    return chosen if isinstance(chosen, Policy) else policy_for(chosen)


def _added(
    world: SimulatedWorld, cluster: Cluster, function: InferenceFunction, policy: AnyPolicy, ends_us: int, seed: int
) -> RunningFunction:
    """Add a function to the world, under its load."""
    work = work_of(function)
    spec = rated(function.spec, work, cluster.vertical, function)
    places = GpuPlaces(cluster, world.events, function.demand, work, round(function.cold_start.image_s * US_PER_S))
    scaled = ScaleSpec(
        name=spec.name,
        policy=policy,
        settings=policy.settings_for(spec),
        bounds=Bounds(min_replicas=spec.min_scale, max_replicas=spec.max_scale),
    )
    source = function.token_source
    until = function.arrivals.until(ends_us / US_PER_S) if function.arrivals.duration_s > ends_us / US_PER_S else None
    simulated = world.add(
        _setting(function, spec, work, ends_us),
        scaled,
        arrivals_us(until or function.arrivals, stream_for(seed, spec.name, "arrivals")),
        places,
        NO_TOKENS if source is None else source.draw(stream_for(seed, spec.name, "tokens")),
    )
    places.retry = simulated.find_places
    return RunningFunction(entry=function, simulated=simulated, places=places, policy=policy.name)


def work_of(function: InferenceFunction) -> BatchWork:
    """Return the times of that function's batches."""
    spec, source, llm = function.spec, function.token_source, function.model.llm
    assert spec.batch is not None, "every function of a scenario has a batch"
    slo_us = None if spec.slo_s is None else round(spec.slo_s * US_PER_S)
    demand = function.demand
    times = ShareTimes(function.model.curve)
    if llm is None or source is None:
        return BatchWork(
            times=times,
            batch=spec.batch,
            request_milli=demand.request_milli,
            limit_milli=demand.limit_milli,
            slo_us=slo_us,
        )
    return LlmWork(
        times=times,
        batch=spec.batch,
        request_milli=demand.request_milli,
        limit_milli=demand.limit_milli,
        slo_us=slo_us,
        prefill=llm.prefill,
        typical=source.mean,
    )


def rated(spec: FunctionSpec, work: BatchWork, vertical: VerticalPolicy, function: InferenceFunction) -> FunctionSpec:
    """Return the spec with a replica's throughput, at its request and at the vertical policy's maximum grant."""
    most = reached_milli(vertical, function.demand)
    least = min(work.request_milli, most)
    return replace(spec, rps_request=_rps(work, least), rps_limit=_rps(work, most))


def _rps(work: BatchWork, share_milli: int) -> float:
    return work.batch * US_PER_S / work.batch_us(work.batch, share_milli)


def _setting(function: InferenceFunction, spec: FunctionSpec, work: BatchWork, ends_us: int) -> FunctionSetting:
    """Return a model that has seen a warm-up: a batch of one and a full one, at the request."""
    one_s = work.batch_us(1, work.request_milli) / US_PER_S
    full_s = work.batch_us(work.batch, work.request_milli) / US_PER_S
    learned = ExecutionModel().learned(1, one_s).learned(work.batch, full_s)
    slo_us = work.waiting_slo_us
    return FunctionSetting(
        spec=spec,
        fit=learned.fit() or ExecutionFit(fixed_s=0.0, per_item_s=one_s),
        learned=learned,
        request_slo_s=None if slo_us is None else slo_us / US_PER_S,
        cold_start_us=round(function.cold_start.start_s * US_PER_S),
        warm_replicas=function.warm,
        ends_us=ends_us,
        admits_by_slo=function.admission == "slo",
    )
