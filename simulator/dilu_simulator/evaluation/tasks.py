"""The runs of an evaluation, as values that travel to other processes, and who runs them."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Protocol, TypeVar

from dilu.load.arrivals import Arrivals
from dilu_autoscaler.policy.horizontal import AnyPolicy, Policy, policy_named
from dilu_simulator.results import Results
from dilu_simulator.run import run_scenario
from dilu_simulator.scenario import Scenario
from dilu_simulator.single_function import SingleResult, SingleRun, simulate_single

ResultT_co = TypeVar("ResultT_co", covariant=True)
ResultT = TypeVar("ResultT")
KeyT = TypeVar("KeyT", bound=Hashable)
Switches = tuple[tuple[str, object], ...]
"""Fields of a policy's settings that differ from what is usual."""


class Task(Protocol[ResultT_co]):
    """One run."""

    def run(self) -> ResultT_co:
        """Its result, which depends on the task alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleTask:
    """One function without a device, with the defaults of `dilu simulate --workload` at 56 requests a second."""

    policy: str
    arrivals: Arrivals
    capacity_rps: float
    seed: int
    switches: Switches = ()

    def run(self) -> SingleResult:
        """Return the task's result."""
        run = SingleRun(
            policy=switched(policy_named(self.policy), self.switches), capacity_rps=self.capacity_rps, seed=self.seed
        )
        return simulate_single(run, self.arrivals)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTask:
    """A scenario under one horizontal and one vertical policy. None: the scenario's own."""

    scenario: Scenario
    seed: int
    policy: str | None = None
    vertical: str | None = None
    placement: str | None = None
    timeline_s: float | None = None

    def run(self) -> Results:
        """Return the task's result."""
        return run_scenario(
            self.scenario,
            policy=self.policy,
            vertical=self.vertical,
            placement=self.placement,
            seed=self.seed,
            timeline_s=self.timeline_s,
        )


def switched(policy: AnyPolicy, switches: Switches) -> AnyPolicy:
    """Return the policy with other settings."""
    if not switches:
        return policy
    changes = dict(switches)
    return Policy(
        name=policy.name,
        settings_for=lambda function: replace(policy.settings_for(function), **changes),
        initial_state=policy.initial_state,
        decide=policy.decide,
    )


class TaskRunner(AbstractContextManager["TaskRunner"]):
    """Runs tasks, on several processors where it is told to; the results do not depend on how many."""

    def __init__(self, jobs: int = 1, progress: Callable[[int, int], None] | None = None) -> None:
        self._progress = progress or (lambda done, of: None)
        self._pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            # Spawned, not forked: nothing of this process but the task gets into a run.
            spawning = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(jobs, mp_context=spawning, initializer=_leave_interrupts_to_the_parent)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def run(self, tasks: Mapping[KeyT, Sequence[Task[ResultT]]]) -> dict[KeyT, list[ResultT]]:
        """Return the results of each key's tasks, in their order."""
        flat = [(key, task) for key, of_key in tasks.items() for task in of_key]
        results: dict[KeyT, list[ResultT]] = {key: [] for key in tasks}
        every = (task for _, task in flat)
        outcomes = map(_run, every) if self._pool is None else self._pool.map(_run, every)
        for done, ((key, _), outcome) in enumerate(zip(flat, outcomes, strict=True), 1):
            results[key].append(outcome)
            self._progress(done, len(flat))
        return results


def _run(task: Task[ResultT]) -> ResultT:
    return task.run()


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
