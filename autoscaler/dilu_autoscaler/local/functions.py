"""One function on this machine, both sides of it: what the gateway sees and the replicas that it has."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from dilu_autoscaler.load_sampler import LoadSampler, whole_us
from dilu_autoscaler.local.backends import Backends, WaitLimits
from dilu_autoscaler.local.connections import AnswerLostError
from dilu_autoscaler.local.exchange import ServedFunction
from dilu_autoscaler.local.launch_spec import FunctionPlan
from dilu_autoscaler.local.supervisor import Supervisor
from dilu_autoscaler.local.traffic import Outcomes
from dilu_autoscaler.local.upstream import ConnectFailedError, Upstream
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation

_STATS_HEAD = b"GET /v1/stats HTTP/1.1\r\nhost: replica\r\n\r\n"
_STATS_WITHIN_S = 2.0
_KEPT_CHANGES = 200


class _Stats(msgspec.Struct):
    """The part of a replica's statistics that is looked at."""

    capacity_rps: float | None = None


class LocalFunction:
    """Answers the scale loop's `observe` and `apply` for one function, and says how it does."""

    def __init__(
        self,
        plan: FunctionPlan,
        *,
        logs: Path,
        limits: WaitLimits,
        log_format: str,
        on_wake: Callable[[str], None],
    ) -> None:
        name = plan.spec.name
        self.name = name
        self.plan = plan
        self._on_wake = on_wake
        self.backends = Backends(name, limits, on_wait=self._request_waits)
        self.supervisor = Supervisor(
            plan, self.backends, logs=logs, log_format=log_format, on_change=lambda: on_wake(name)
        )
        self.served = ServedFunction(
            name=name,
            backends=self.backends,
            outcomes=Outcomes(plan.spec.slo_ms),
            load=LoadSampler(whole_us(time.monotonic())),
            on_active=lambda: on_wake(name),
            on_unreachable=self.supervisor.unreachable,
        )
        self._changes: deque[dict[str, Any]] = deque(maxlen=_KEPT_CHANGES)

    def replan(self, plan: FunctionPlan) -> None:
        """Serve other code, or the same with another spec."""
        self.plan = plan
        self.served.outcomes.slo_ms = plan.spec.slo_ms
        self.supervisor.replace_all(plan)

    def observe(self, now_s: float) -> Observation:
        """What happened since the last call. While there is traffic there is something new every second."""
        served = self.served
        samples = served.load.take(whole_us(now_s))
        served.is_watched = not served.load.is_quiet
        if self.supervisor.is_failing:
            # What is refused because no replica can start would not be served by more that cannot: seconds with
            # demand are left out (nothing is known of them), quiet ones are not, so that it can go to zero.
            samples = tuple(sample for sample in samples if not (sample.rps or sample.concurrency))
        ready = self.supervisor.ready
        return Observation(
            samples=samples,
            ready=ready,
            starting=self.supervisor.starting,
            desired=self.supervisor.desired,
            waiting=self.backends.waiting if ready == 0 else 0,
            capacity_rps=self.backends.capacity_rps,
            next_sample_s=math.floor(now_s) + 1.0 if served.is_watched else None,
        )

    def apply(self, decision: Decision) -> None:
        """Want so many replicas."""
        if decision.replicas is None:
            return
        before, wanted = self.supervisor.desired, decision.replicas
        self._changes.append({"at": time.time(), "from": before, "to": wanted, "reason": decision.reason})
        self.supervisor.set_desired(wanted)

    async def read_capacity(self) -> None:
        """Ask each ready replica what it can take; the mean of those that know stays until it is asked again."""
        self.supervisor.bound_logs()
        answers = await asyncio.gather(*(_capacity_rps(one) for one in self.supervisor.statistics))
        known = [capacity_rps for capacity_rps in answers if capacity_rps]
        if known:
            self.backends.capacity_rps = sum(known) / len(known)

    def status(self, now_s: float, last: Tick | None) -> dict[str, Any]:
        """The function as `/v1/status` has it."""
        served, supervisor = self.served, self.supervisor
        percentiles = served.outcomes.percentiles_ms(now_s)
        outcomes = served.outcomes
        return {
            "name": self.name,
            "target": self.plan.target,
            "policy": self.plan.policy,
            "desired": supervisor.desired,
            "ready": supervisor.ready,
            "starting": supervisor.starting,
            "rps": served.load.last_second(whole_us(now_s)).rps,
            "p50_ms": percentiles[0] if percentiles else None,
            "p95_ms": percentiles[1] if percentiles else None,
            "slo_attainment": outcomes.slo_attainment,
            "slo_ms": outcomes.slo_ms,
            "requests": outcomes.requests,
            "errors": outcomes.errors,
            "cold_starts": list(supervisor.cold_starts),
            "replica_seconds": supervisor.replica_seconds,
            "capacity_rps": self.backends.capacity_rps,
            "in_flight": served.load.in_flight,
            "waiting": self.backends.waiting,
            "last_decision": self._decision(now_s, last),
            "changes": list(self._changes),
            "replicas": supervisor.status(),
        }

    def _decision(self, now_s: float, last: Tick | None) -> dict[str, Any] | None:
        if last is None:
            return None
        decided = last.decision.replicas
        return {
            "replicas": self.supervisor.desired if decided is None else decided,
            "reason": last.decision.reason,
            "at": time.time() - (now_s - last.now_s),
        }

    def _request_waits(self) -> None:
        """A request has no replica to go to. With none wanted, that cannot wait for the second to end."""
        if self.supervisor.desired == 0:
            self._on_wake(self.name)


async def _capacity_rps(statistics: Upstream) -> float | None:
    try:
        answer = await statistics.send(_STATS_HEAD, b"", answer_within_s=_STATS_WITHIN_S)
        body = answer.taken()
        while not answer.complete:
            body += await answer.next_chunk()
        return msgspec.json.decode(body, type=_Stats).capacity_rps
    except (ConnectFailedError, AnswerLostError, msgspec.DecodeError):
        return None
