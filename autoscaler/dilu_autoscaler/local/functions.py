"""One function on this machine: its side at the gateway, and its replicas."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from dilu.http.client.connection import ResponseLostError
from dilu.http.client.upstream import ConnectFailedError, Upstream
from dilu_autoscaler.explaining.decision_log import DecisionLog
from dilu_autoscaler.explaining.sentence import sentence
from dilu_autoscaler.load_sampler import LoadSampler, whole_us
from dilu_autoscaler.local.backends import Backends, WaitLimits
from dilu_autoscaler.local.launch_spec import FunctionPlan
from dilu_autoscaler.local.proxied_request import ServedFunction
from dilu_autoscaler.local.status import LocalFunctionStatus
from dilu_autoscaler.local.supervisor import Supervisor
from dilu_autoscaler.local.traffic import Outcomes
from dilu_autoscaler.loop import Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation

_STATS_HEAD = b"GET /v1/stats HTTP/1.1\r\nhost: replica\r\n\r\n"
_STATS_WITHIN_S = 2.0
_MAX_DECISIONS = 200


class _Stats(msgspec.Struct):
    """The part of a replica's statistics that is used."""

    learned_rps: float | None = None


class LocalFunction:
    """One function for the scale loop (`observe`, `apply`), and its part of the status document."""

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
        self._decisions = DecisionLog(max_per_function=_MAX_DECISIONS)

    def replan(self, plan: FunctionPlan) -> None:
        """Serve other code, or the same with another spec."""
        self.plan = plan
        self.served.outcomes.slo_ms = plan.spec.slo_ms
        self.supervisor.replace_all(plan)

    def observe(self, now_s: float) -> Observation:
        """Return what happened since the last call. While there is traffic, every second brings a new sample."""
        served = self.served
        samples = served.load.take(whole_us(now_s))
        served.is_watched = not served.load.is_quiet
        if self.supervisor.is_failing:
            # Requests are refused because no replica can start; starting more would not serve them. So seconds with
            # demand are left out (no data), but quiet ones are not, so that the function can scale to zero.
            samples = tuple(sample for sample in samples if not (sample.rps or sample.concurrency))
        ready = self.supervisor.ready
        return Observation(
            samples=samples,
            ready=ready,
            starting=self.supervisor.starting,
            desired=self.supervisor.desired,
            waiting=self.backends.waiting if ready == 0 else 0,
            learned_rps=self.backends.learned_rps,
            next_sample_s=math.floor(now_s) + 1.0 if served.is_watched else None,
        )

    def apply(self, decision: Decision) -> None:
        """Set the desired number of replicas."""
        if decision.replicas is None:
            return
        self.supervisor.set_desired(decision.replicas)

    async def read_throughput(self) -> None:
        """Read each ready replica's learned throughput, and keep the mean of those that have one."""
        self.supervisor.bound_logs()
        answers = await asyncio.gather(*(_learned_rps(one) for one in self.supervisor.statistics))
        known = [learned_rps for learned_rps in answers if learned_rps]
        if known:
            self.backends.learned_rps = sum(known) / len(known)

    def decided(self, tick: Tick) -> None:
        """Record a decision that has something new in it; ticks without a new sample are not kept."""
        has_news = tick.applied or tick.seen is None or tick.seen.samples
        if has_news or self._decisions.last(self.name) is None:
            self._decisions.ticked(tick, unix_s=time.time() - (time.monotonic() - tick.now_s))

    def status(self, now_s: float, *, newest_only: bool) -> LocalFunctionStatus:
        """Return the function's part of the status document."""
        served, supervisor, outcomes, spec = self.served, self.supervisor, self.served.outcomes, self.plan.spec
        p50_ms, p95_ms = outcomes.percentiles_ms(now_s) or (None, None)
        entries = self._decisions.entries(self.name)
        return LocalFunctionStatus(
            name=self.name,
            target=self.plan.target,
            policy=str(self.plan.policy),
            min_replicas=spec.min_scale,
            max_replicas=spec.max_scale,
            ready=supervisor.ready,
            starting=supervisor.starting,
            desired=supervisor.desired,
            rps=served.load.last_second(whole_us(now_s)).rps,
            in_flight=served.load.in_flight,
            waiting=self.backends.waiting,
            learned_rps=self.backends.learned_rps,
            slo_ms=outcomes.slo_ms,
            slo_attainment=outcomes.slo_attainment,
            requests=outcomes.requests,
            errors=outcomes.errors,
            abandoned=outcomes.abandoned,
            p50_ms=p50_ms,
            p95_ms=p95_ms,
            explanation=sentence(entries[-1] if entries else None),
            decisions=tuple(entries[-1:] if newest_only else entries),
            replica_seconds=supervisor.replica_seconds,
            cold_starts=tuple(supervisor.cold_starts),
            replicas=tuple(supervisor.status()),
        )

    def _request_waits(self) -> None:
        """Wake the loop at once for a request that waits while no replica is desired."""
        if self.supervisor.desired == 0:
            self._on_wake(self.name)


async def _learned_rps(statistics: Upstream) -> float | None:
    try:
        answer = await statistics.send(_STATS_HEAD, b"", answer_within_s=_STATS_WITHIN_S)
        body = answer.taken()
        while not answer.is_complete:
            body += await answer.next_chunk()
        return msgspec.json.decode(body, type=_Stats).learned_rps
    except (ConnectFailedError, ResponseLostError, msgspec.DecodeError):
        return None
