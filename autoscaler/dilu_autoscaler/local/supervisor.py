"""The replicas of one function: started, replaced and stopped here and nowhere else."""

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
from dilu_autoscaler.local.backends import Backend, Backends
from dilu_autoscaler.local.changes import Living, next_changes
from dilu_autoscaler.local.failures import EarlyEnds
from dilu_autoscaler.local.plans import FunctionPlan
from dilu_autoscaler.local.replicas import Replica, ReplicaState
from dilu_autoscaler.local.upstream import Upstream

_log = logging.getLogger(__name__)

_SHOWN_LOG_LINES = 15
_KEPT_LOGS = 20
_KEPT_COLD_STARTS = 1000
_UNREACHABLE_S = 1.0
_LIVING = (ReplicaState.STARTING, ReplicaState.READY)


class Supervisor:
    """Brings about the desired number of replicas, and keeps it when they die."""

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
        self._replicas: dict[str, Replica] = {}
        self._routed: dict[str, tuple[Backend, Upstream]] = {}  # what requests go to, and where its statistics are
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = 0
        self._inherited_restarts: list[int] = []  # of replicas that died and have no successor yet
        self._early_ends = EarlyEnds()
        self._retry: asyncio.TimerHandle | None = None
        self._ended_seconds = 0.0  # lifetimes of replicas that are gone
        self._is_closing = False

    # -- what others ask for

    def set_desired(self, desired: int) -> None:
        """Bring about so many replicas."""
        self.desired = desired
        self._reconcile()

    def replace_all(self, plan: FunctionPlan) -> None:
        """Start every further replica by this plan, and replace those that run, one by one."""
        self._plan = plan
        self._generation += 1
        self._replaces = True
        self._forgive()
        self._reconcile()

    def unreachable(self, backend: Backend) -> None:
        """A replica takes no connection: it has died, or is about to say that it drains; else it is replaced."""
        if backend.id in self._replicas:
            asyncio.get_running_loop().call_later(_UNREACHABLE_S, self._replace_unreachable, backend.id)

    def bound_logs(self) -> None:
        """Empty the log of a replica that wrote too much: the folder may be in memory."""
        for replica in self._replicas.values():
            replica.bound_log()

    async def close(self) -> None:
        """Stop every replica in order; returns when all processes have ended."""
        self._is_closing = True
        self.desired = 0
        self._cancel_retry()
        for replica in list(self._replicas.values()):
            replica.stop()
        while self._tasks:
            await asyncio.wait(self._tasks)

    def kill(self) -> None:
        """End every replica at once."""
        self._is_closing = True
        self._cancel_retry()
        for replica in self._replicas.values():
            replica.kill()

    # -- what others see

    @property
    def starting(self) -> int:
        """Replicas that are not ready yet."""
        return sum(replica.state is ReplicaState.STARTING for replica in self._replicas.values())

    @property
    def ready(self) -> int:
        """Replicas that requests go to."""
        return self._backends.ready

    @property
    def replica_seconds(self) -> float:
        """How long replicas lived, summed over all there were."""
        return self._ended_seconds + sum(replica.lifetime_s for replica in self._replicas.values())

    @property
    def statistics(self) -> list[Upstream]:
        """Where each ready replica answers `/v1/stats`."""
        return [statistics for _, statistics in self._routed.values()]

    def status(self) -> list[dict[str, Any]]:
        """The replicas as `dilu ps` shows them."""
        shown = []
        for replica in self._replicas.values():
            routed = self._routed.get(replica.id)
            shown.append({**replica.status(), "in_flight": routed[0].in_flight if routed else 0})
        return shown

    # -- how it is brought about

    def _replace_unreachable(self, replica_id: str) -> None:
        replica = self._replicas.get(replica_id)
        if replica is not None and replica.state is ReplicaState.READY:
            _log.warning("fn=%s replica=%s takes no connections: replaced", self._plan.spec.name, replica_id)
            replica.stop()

    def _reconcile(self) -> None:
        if self._is_closing:
            return
        changes = next_changes(
            self._living(), desired=self.desired, generation=self._generation, replaces=self._replaces
        )
        for replica_id in changes.stop:
            self._replicas[replica_id].stop()
        if changes.start and self._may_start():
            for _ in range(changes.start):
                self._start()
            self._backends.unblock()
        if self.desired == 0:
            self._inherited_restarts.clear()

    def _living(self) -> list[Living]:
        return [
            Living(
                id=replica.id,
                is_ready=replica.state is ReplicaState.READY,
                generation=replica.generation,
                in_flight=self._routed[replica.id][0].in_flight if replica.id in self._routed else 0,
                age_s=replica.lifetime_s,
            )
            for replica in self._replicas.values()
            if replica.state in _LIVING
        ]

    def _may_start(self) -> bool:
        """Whether no back-off is running; one that is calls `_reconcile` at its end."""
        wait_s = self._early_ends.wait_s(time.monotonic())
        if not wait_s:
            return True
        if self._retry is None:
            self._retry = asyncio.get_running_loop().call_later(wait_s, self._retry_now)
        return False

    def _retry_now(self) -> None:
        self._retry = None
        self._reconcile()

    def _start(self) -> None:
        self._started += 1
        replica = Replica(
            f"{self._plan.spec.name}-{self._started}",
            self._plan,
            self._log_path(),
            generation=self._generation,
            restarts=self._inherited_restarts.pop() if self._inherited_restarts else 0,
            log_format=self._log_format,
            on_change=self._changed,
        )
        self._replicas[replica.id] = replica
        task = asyncio.get_running_loop().create_task(replica.run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _log_path(self) -> Path:
        """The next replica's log; that of a replica long gone is removed for it."""
        name = self._plan.spec.name
        (self._logs / f"{name}-{self._started - _KEPT_LOGS}.log").unlink(missing_ok=True)
        return self._logs / f"{name}-{self._started}.log"

    def _changed(self, replica: Replica) -> None:
        if replica.state is ReplicaState.READY:
            self._became_ready(replica)
        else:
            self._unroute(replica)
            if replica.state is ReplicaState.ENDED:
                self._ended(replica)
        self._reconcile()
        self._on_change()

    def _became_ready(self, replica: Replica) -> None:
        backend = Backend(replica.id, Upstream("127.0.0.1", replica.port), replica.max_in_flight)
        self._routed[replica.id] = (backend, Upstream("127.0.0.1", replica.stats_port))
        total_s = replica.lifetime_s
        self.cold_starts.append({**replica.phases_s, "total_s": total_s})
        phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in replica.phases_s.items())
        _log.info("fn=%s replica=%s ready in %.2f s (%s)", self._plan.spec.name, replica.id, total_s, phases)
        self._backends.add(backend)

    def _unroute(self, replica: Replica) -> None:
        routed = self._routed.pop(replica.id, None)
        if routed is not None:
            backend, statistics = routed
            self._backends.remove(backend)
            statistics.close()

    def _ended(self, replica: Replica) -> None:
        del self._replicas[replica.id]
        self._ended_seconds += replica.lifetime_s
        name = self._plan.spec.name
        if replica.was_stopped:
            _log.info("fn=%s replica=%s stopped", name, replica.id)
        elif replica.exit_code == 0 and replica.ready_s is not None:
            _log.info("fn=%s replica=%s was told to stop by someone else: replaced", name, replica.id)
            self._inherited_restarts.append(replica.restarts + 1)
        else:
            self._failed(replica)

    def _failed(self, replica: Replica) -> None:
        """It died. Say why once, and wait longer each time that it happens soon after a start."""
        wait_s = self._early_ends.add(ready_s=replica.ready_s, ended_s=time.monotonic())
        self._inherited_restarts.append(replica.restarts + 1)
        if replica.generation == self._generation and replica.ready_s is None:
            self._replaces = False  # the new code does not start: what runs stays
        reason = replica.failure or _exit_text(replica.exit_code)
        _log.error(
            "fn=%s replica=%s %s: %s; next start %s%s",
            self._plan.spec.name,
            replica.id,
            "died" if replica.ready_s is not None else "did not start",
            reason,
            f"in {wait_s:g} s" if wait_s else "at once",
            "" if self._early_ends.count > 1 else self._shown_log(replica),
        )
        if wait_s and not self.starting:
            self._backends.block(lambda: self._cannot_start(reason))

    def _shown_log(self, replica: Replica) -> str:
        """The end of its log, below the first failure of a row."""
        lines = replica.tail(_SHOWN_LOG_LINES)
        return "".join(f"\n    | {line}" for line in lines) if lines else " (it wrote no log)"

    def _cannot_start(self, reason: str) -> RequestError:
        wait_s = self._early_ends.wait_s(time.monotonic())
        message = f"{self._plan.spec.name} cannot start: {reason}; next try in {wait_s:.1f} s"
        return RequestError(503, "cannot-start", message, retry_after_s=max(1, math.ceil(wait_s)))

    def _forgive(self) -> None:
        """Forget earlier failures: the code is another one."""
        self._early_ends.forgive()
        self._cancel_retry()

    def _cancel_retry(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None


def _exit_text(code: int | None) -> str:
    if code is None:
        return "no process"
    return f"killed by signal {-code}" if code < 0 else f"exit code {code}"
