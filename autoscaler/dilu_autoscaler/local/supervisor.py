"""The replicas of one function. Only this module starts, replaces and stops them."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dilu.errors import RequestError
from dilu.http.client.upstream import Upstream
from dilu_autoscaler.local.backends import Backend, Backends
from dilu_autoscaler.local.crash_loop import SETTLED_S, CrashLoop, NextStart
from dilu_autoscaler.local.launch_spec import FunctionPlan
from dilu_autoscaler.local.replicas import ReplicaProcess, ReplicaState
from dilu_autoscaler.local.rollout import RunningReplica, next_changes
from dilu_autoscaler.local.routed_replicas import RoutedReplicas

_log = logging.getLogger(__name__)

_SHOWN_LOG_LINES = 15
_KEPT_LOGS = 20
_KEPT_COLD_STARTS = 1000
_UNREACHABLE_S = 1.0
_LIVING = (ReplicaState.STARTING, ReplicaState.READY)


class Supervisor:
    """Starts and stops replicas until their number is the desired one, and replaces those that end."""

    def __init__(
        self,
        plan: FunctionPlan,
        backends: Backends,
        *,
        logs: Path,
        log_format: str = "plain",
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.desired = 0
        self.cold_starts: deque[dict[str, float]] = deque(maxlen=_KEPT_COLD_STARTS)
        self._plan = plan
        self._backends = backends
        self._logs = logs
        self._log_format = log_format
        self._on_change = on_change
        self._generation = 0
        self._replaces = False  # older generations are being replaced
        self._replicas: dict[str, ReplicaProcess] = {}
        self._routes = RoutedReplicas(backends)
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = 0
        self._inherited_restarts: list[int] = []  # of replicas that ended and have no successor yet
        self._crash_loop = CrashLoop()
        self._ends: dict[str, NextStart] = {}  # by replica that ends by itself, until that is logged
        self._retry: asyncio.TimerHandle | None = None
        self._ended_seconds = 0.0  # lifetimes of replicas that have ended
        self._is_closing = False

    # -- commands

    def set_desired(self, desired: int) -> None:
        """Set the desired number of replicas."""
        self.desired = desired
        self._reconcile()

    def replace_all(self, plan: FunctionPlan) -> None:
        """Start every further replica by this plan, and replace the running ones one by one."""
        self._plan = plan
        self._generation += 1
        self._replaces = True
        self._reset_back_off()
        self._reconcile()

    def unreachable(self, backend: Backend) -> None:
        """Replace a replica that takes no connection, unless it soon reports that it has ended or drains."""
        if backend.id in self._replicas:
            asyncio.get_running_loop().call_later(_UNREACHABLE_S, self._replace_unreachable, backend.id)

    def bound_logs(self) -> None:
        """Empty the log of a replica that wrote too much: the folder may be in memory."""
        for replica in self._replicas.values():
            replica.bound_log()

    async def close(self, grace_s: float) -> None:
        """Stop every replica in order, and return when all processes have ended.

        Replicas that are draining already get `grace_s` from now as well, not longer.
        """
        self._is_closing = True
        self.desired = 0
        self._cancel_retry()
        for replica in list(self._replicas.values()):
            replica.stop(grace_s)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """Kill every replica."""
        self._is_closing = True
        self._cancel_retry()
        for replica in self._replicas.values():
            replica.kill()

    # -- state

    @property
    def starting(self) -> int:
        """The number of replicas that are not ready yet."""
        return sum(replica.state is ReplicaState.STARTING for replica in self._replicas.values())

    @property
    def ready(self) -> int:
        """The number of replicas that requests go to."""
        return self._backends.ready

    @property
    def is_failing(self) -> bool:
        """Whether no replica is ready because starts fail."""
        return not self._backends.ready and self._crash_loop.is_backing_off

    @property
    def replica_seconds(self) -> float:
        """The lifetimes of all replicas so far, added up."""
        return self._ended_seconds + sum(replica.lifetime_s for replica in self._replicas.values())

    @property
    def statistics(self) -> list[Upstream]:
        """The `/v1/stats` server of each ready replica."""
        return self._routes.statistics

    def status(self) -> list[dict[str, Any]]:
        """Return the replicas as `dilu ps` shows them."""
        return [
            {**replica.status(), "in_flight": self._routes.in_flight(replica.id)} for replica in self._replicas.values()
        ]

    # -- reconciling

    def _replace_unreachable(self, replica_id: str) -> None:
        replica = self._replicas.get(replica_id)
        if replica is not None and replica.state is ReplicaState.READY:
            _log.warning(
                "fn=%s replica=%s takes no connections %g s after the first failure: replaced",
                self._plan.spec.name,
                replica_id,
                _UNREACHABLE_S,
            )
            replica.stop()

    def _reconcile(self) -> None:
        if self._is_closing:
            return
        changes = next_changes(
            self._running(), desired=self.desired, generation=self._generation, replaces=self._replaces
        )
        for replica_id in changes.stop:
            self._replicas[replica_id].stop()
        if changes.start and self._may_start():
            for _ in range(changes.start):
                self._start()
            self._backends.unblock()
        if self.desired == 0:
            self._inherited_restarts.clear()
            self._backends.unblock()  # the next request tries again

    def _running(self) -> list[RunningReplica]:
        return [
            RunningReplica(
                id=replica.id,
                is_ready=replica.state is ReplicaState.READY,
                generation=replica.generation,
                in_flight=self._routes.in_flight(replica.id),
                age_s=replica.lifetime_s,
            )
            for replica in self._replicas.values()
            if replica.state in _LIVING
        ]

    def _may_start(self) -> bool:
        """Return whether no back-off is under way. The end of one calls `_reconcile`."""
        wait_s = self._crash_loop.wait_s(time.monotonic())
        if not wait_s:
            return True
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(wait_s, self._retry_now)
        return False

    def _retry_now(self) -> None:
        self._retry = None
        if not self._crash_loop.wait_s(time.monotonic()):
            self._backends.unblock()
        self._reconcile()

    def _start(self) -> None:
        self._started += 1
        replica = ReplicaProcess(
            f"{self._plan.spec.name}-{self._started}",
            self._plan,
            self._log_path(),
            generation=self._generation,
            restarts=self._inherited_restarts.pop() if self._inherited_restarts else 0,
            log_format=self._log_format,
            on_change=self._changed,
        )
        self._replicas[replica.id] = replica
        task = asyncio.get_running_loop().create_task(self._run(replica))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log_path(self) -> Path:
        """Return the path of the next replica's log, and delete the oldest one."""
        name = self._plan.spec.name
        (self._logs / f"{name}-{self._started - _KEPT_LOGS}.log").unlink(missing_ok=True)
        return self._logs / f"{name}-{self._started}.log"

    async def _run(self, replica: ReplicaProcess) -> None:
        await replica.run()
        self._log_end(replica)

    def _changed(self, replica: ReplicaProcess) -> None:
        if replica.state is ReplicaState.READY:
            self._became_ready(replica)
        else:
            self._routes.remove(replica)
            if not replica.was_stopped and replica.id not in self._ends:
                self._ends_by_itself(replica)
            if replica.state is ReplicaState.ENDED:
                self._routes.ended(replica)
                del self._replicas[replica.id]
                self._ended_seconds += replica.lifetime_s
        self._reconcile()
        self._on_change()

    def _became_ready(self, replica: ReplicaProcess) -> None:
        total_s = replica.lifetime_s
        self.cold_starts.append({**replica.phases_s, "total_s": total_s})
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in replica.phases_s.items())
        _log.info("fn=%s replica=%s ready in %.2f s (%s)", self._plan.spec.name, replica.id, total_s, phases)
        self._routes.add(replica)
        asyncio.get_running_loop().call_later(SETTLED_S, self._settled, replica)

    def _settled(self, replica: ReplicaProcess) -> None:
        if replica.state is ReplicaState.READY:
            self._crash_loop.settled()

    def _ends_by_itself(self, replica: ReplicaProcess) -> None:
        """Count a replica that drains or has ended unasked: if that happens often, its successor waits."""
        self._ends[replica.id] = self._crash_loop.add(
            started_s=replica.started_s, ready_s=replica.ready_s, ended_s=time.monotonic()
        )
        self._inherited_restarts.append(replica.restarts + 1)
        if replica.generation == self._generation and replica.ready_s is None:
            self._replaces = False  # the new code does not start: the running replicas stay

    def _log_end(self, replica: ReplicaProcess) -> None:
        """Log why a replica ended. If no other one starts, fail the requests that wait for one."""
        end = self._ends.pop(replica.id, None)
        name = self._plan.spec.name
        if end is None or (self._is_closing and replica.was_stopped):
            _log.info("fn=%s replica=%s stopped", name, replica.id)
            return
        what = f"next start in {end.wait_s:.0f} s" if end.wait_s >= 0.5 else "next start at once"
        if replica.exit_code == 0 and replica.ready_s is not None:
            _log.info("fn=%s replica=%s was stopped by another process: replaced, %s", name, replica.id, what)
            reason = "its replicas are stopped by another process"
        else:
            reason = replica.failure or _exit_text(replica.exit_code)
            did = "died" if replica.ready_s is not None else "did not start"
            shown = self._shown_log(replica) if end.is_first else ""
            _log.error("fn=%s replica=%s %s: %s; %s%s", name, replica.id, did, reason, what, shown)
        if self._crash_loop.wait_s(time.monotonic()) and self.desired and not self.starting:
            self._backends.block(lambda: self._cannot_start(reason))

    def _shown_log(self, replica: ReplicaProcess) -> str:
        """Return the end of its log, for the first failure in a row."""
        lines = replica.tail(_SHOWN_LOG_LINES)
        return "".join(f"\n    | {line}" for line in lines) if lines else " (its log is empty)"

    def _cannot_start(self, reason: str) -> RequestError:
        wait_s = self._crash_loop.wait_s(time.monotonic())
        message = f"{self._plan.spec.name} cannot start: {reason}; next try in {wait_s:.1f} s"
        return RequestError(503, "cannot-start", message, retry_after_s=max(1, math.ceil(wait_s)))

    def _reset_back_off(self) -> None:
        """Forget earlier failures: the code has changed."""
        self._crash_loop.reset()
        self._cancel_retry()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def _exit_text(code: int | None) -> str:
    if code is None:
        return "no process"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
