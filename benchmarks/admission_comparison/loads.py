"""One contender under one load after another: open loop, Poisson arrivals."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

import harness
from admission_comparison.contenders import Contender, environment
from apps.linear_kernel import FIXED_S, MAX_BATCH, PER_ITEM_S, SLO_S
from dilu.load.arrivals import poisson
from harness import BenchmarkError, Sent, Server

CAPACITY_RPS: Final = MAX_BATCH / (FIXED_S + PER_ITEM_S * MAX_BATCH)
WARM_UP: Final = 0.7  # of the capacity, before the first counted load
ITEM: Final = b"[1.5]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The loads of one start of a server, each as a multiple of the capacity; their first `settle_s` do not count."""

    loads: tuple[float, ...]
    seconds: float
    settle_s: float
    warm_up_s: float
    max_wait_s: float  # for answers, after the last request of a load


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The outcome of one load."""

    load: float  # of the capacity
    offered_rps: float
    goodput_rps: float  # answered within the objective
    accepted_rps: float
    p50_ms: float
    p99_ms: float
    send_lag_p99_ms: float
    outcomes: dict[str, int]  # by status; 0: no answer


def measure_once(contender: Contender, seed: int, plan: Plan) -> list[Seen]:
    """Start one contender and put it under each load, after a warm-up that is the same for all."""
    request = harness.http_request("POST", contender.path, ITEM)
    env = environment(contender)
    with harness.serving(contender.name, contender.command, ready=contender.ready, env=env) as server:
        _check_answer(server, request)
        _send(server, request, WARM_UP, plan.warm_up_s, seed, plan)
        seen = [_summary(load, _send(server, request, load, plan.seconds, seed, plan), plan) for load in plan.loads]
    for one in seen:
        harness.progress(
            f"{contender.name} at {one.load:g} x: {one.goodput_rps:,.0f} good of {one.offered_rps:,.0f} a second, "
            f"p99 {one.p99_ms:.1f} ms, sent late p99 {one.send_lag_p99_ms:.1f} ms"
        )
    return seen


def _send(server: Server, request: bytes, load: float, seconds: float, seed: int, plan: Plan) -> list[Sent]:
    times_s = list(poisson(load * CAPACITY_RPS, seconds).times_s(Random(seed)))
    return harness.open_loop(server.port, request, times_s, max_wait_s=plan.max_wait_s)


def _summary(load: float, sent: Sequence[Sent], plan: Plan) -> Seen:
    counted = [one for one in sent if one.due_s >= plan.settle_s]
    seconds = plan.seconds - plan.settle_s
    accepted_ms = [one.latency_s * 1e3 for one in counted if one.ok]
    return Seen(
        load=load,
        offered_rps=len(counted) / seconds,
        goodput_rps=sum(latency_ms <= SLO_S * 1e3 for latency_ms in accepted_ms) / seconds,
        accepted_rps=len(accepted_ms) / seconds,
        p50_ms=harness.percentile(accepted_ms, 50),
        p99_ms=harness.percentile(accepted_ms, 99),
        send_lag_p99_ms=harness.percentile([(one.sent_s - one.due_s) * 1e3 for one in counted if one.status], 99),
        outcomes=dict(Counter(str(one.status) for one in counted)),
    )


def _check_answer(server: Server, request: bytes) -> None:
    answer = asyncio.run(harness.fetch(server.port, request))
    if answer.status != 200 or json.loads(answer.body) != json.loads(ITEM):
        raise BenchmarkError(f"{server.name} answers {answer.status} {answer.body[:200]!r}")
