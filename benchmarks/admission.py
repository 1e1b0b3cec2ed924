"""What is left of the goodput when three times more is asked than a replica can do, beside mosec and LitServe.

    python benchmarks/admission.py [--quick]

The model takes 5 ms + 0.5 ms an item, a batch holds 16, the objective is 60 ms (`apps/linear_kernel.py`): 1231 requests
a second are the most it can do. Goodput counts the answers within the objective, from the time at which the request
was due. Its peak is the best of a sweep at and below that rate; then 3 x that rate is offered. Open loop, Poisson
arrivals, every server on one core. Peers run as they come and tuned by hand for this model and objective.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

import harness
from apps.linear_kernel import FIXED_S, MAX_BATCH, PER_ITEM_S, SLO_S
from harness import BenchmarkError, Sent, Server

NAME: Final = "admission"
OURS: Final = "dilu"
PACKAGES: Final = ("dilu", "uvicorn", "uvloop", "mosec", "litserve")
APPS: Final = "benchmarks/apps"
CAPACITY_RPS: Final = MAX_BATCH / (FIXED_S + PER_ITEM_S * MAX_BATCH)
OVERLOAD: Final = 3.0
ITEM: Final = b"[1.5]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server with one setting."""

    command: tuple[str, ...]
    ready: str
    path: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often; of each load the first `settle_s` do not count."""

    repeats: int
    seconds: float
    settle_s: float
    sweep: tuple[float, ...]  # of the capacity
    peers_sweep: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one load."""

    load: float  # of the capacity
    offered_rps: float
    goodput_rps: float
    accepted_rps: float
    p50_ms: float
    p99_ms: float
    send_lag_p99_ms: float
    outcomes: dict[str, int]  # by status; 0: no answer


SWEEP: Final = (0.7, 0.8, 0.9, 0.95, 1.0)
FULL: Final = Sizes(repeats=3, seconds=5.0, settle_s=1.0, sweep=SWEEP, peers_sweep=SWEEP)
QUICK: Final = Sizes(repeats=1, seconds=3.0, settle_s=1.0, sweep=(0.8, 0.9, 1.0), peers_sweep=())


def _mosec(*options: str) -> Contender:
    command = (sys.executable, f"{APPS}/linear_mosec.py", "--address", "127.0.0.1", "--port", "{port}", *options)
    return Contender(command=(*command, "--log-level", "error"), ready="/", path="/inference", env={"MAX_WAIT_MS": "5"})


def _litserve(timeout_s: float) -> Contender:
    env = {"BATCH_TIMEOUT_S": "0.005", "TIMEOUT_S": str(timeout_s)}
    return Contender(command=(sys.executable, f"{APPS}/linear_litserve.py"), ready="/health", path="/predict", env=env)


# By hand: as many may wait as are run within the objective, less one batch; LitServe bounds the wait by its time.
_MOST_WAITING: Final = int(CAPACITY_RPS * SLO_S) - MAX_BATCH
_LONGEST_WAIT_S: Final = SLO_S - (FIXED_S + PER_ITEM_S * MAX_BATCH)
CONTENDERS: Final[Mapping[str, Contender]] = {
    OURS: Contender(
        command=(sys.executable, "-m", "dilu", "serve", f"{APPS}/linear_dilu.py"),
        ready="/readyz",
        env={"DILU_STATS_PORT": "0"},
    ),
    "mosec": _mosec(),
    "mosec, by hand": _mosec("--capacity", str(_MOST_WAITING), "--timeout", str(int(SLO_S * 1e3))),
    "LitServe": _litserve(30.0),
    "LitServe, by hand": _litserve(_LONGEST_WAIT_S),
}


def summary(load: float, sent: Sequence[Sent], sizes: Sizes) -> Seen:
    """The numbers of one load, without its beginning."""
    counted = [one for one in sent if one.due_s >= sizes.settle_s]
    seconds = sizes.seconds - sizes.settle_s
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


def measure_once(name: str, seed: int, sizes: Sizes) -> list[Seen]:
    """One contender, started for this, under each load after the other; the overload comes last."""
    contender = CONTENDERS[name]
    env = {**contender.env, "PYTHONPATH": str(harness.ROOT / "benchmarks")}
    request = harness.http_request("POST", contender.path, ITEM)
    sweep = sizes.sweep if name == OURS else sizes.peers_sweep
    seen = []
    with harness.serving(name, contender.command, ready=contender.ready, env=env) as server:
        check_answer(server, request)
        for load in (*sweep, OVERLOAD):
            times_s = list(harness.poisson_times_s(load * CAPACITY_RPS, sizes.seconds, seed=seed))
            seen.append(summary(load, harness.open_loop(server.port, request, times_s), sizes))
            harness.say(
                f"{name} at {load:g} x: {seen[-1].goodput_rps:,.0f} good of {seen[-1].offered_rps:,.0f} a second, "
                f"p99 {seen[-1].p99_ms:.1f} ms, sent late p99 {seen[-1].send_lag_p99_ms:.1f} ms"
            )
    return seen


def check_answer(server: Server, request: bytes) -> None:
    """Raises where one request alone is not answered with what was sent."""
    answer = asyncio.run(harness.ask(server.port, request))
    if answer.status != 200 or json.loads(answer.body) != json.loads(ITEM):
        raise BenchmarkError(f"{server.name} answers {answer.status} {answer.body[:200]!r}")


def measure(sizes: Sizes, left_out: dict[str, str]) -> dict[str, list[list[Seen]]]:
    """What each contender that runs gave in each repeat."""
    seeds = iter(range(1_000))

    def once(name: str) -> list[Seen] | None:
        try:
            return None if name in left_out else measure_once(name, next(seeds), sizes)
        except BenchmarkError as error:
            if name == OURS:
                raise
            left_out[name] = str(error)
            return None

    turns = harness.interleaved(tuple(CONTENDERS), once, sizes.repeats)
    return {name: [one for one in seen if one is not None] for name, seen in turns.items() if name not in left_out}


def median(repeats: Sequence[Sequence[Seen]], load: float, key: str) -> float | None:
    """The median over the repeats of one number at one load."""
    values = [getattr(seen, key) for repeat in repeats for seen in repeat if seen.load == load]
    return float(statistics.median(values)) if values else None


def peak_rps(repeats: Sequence[Sequence[Seen]], sweep: Sequence[float]) -> float | None:
    """The best goodput at and below the capacity."""
    found = [value for load in sweep if (value := median(repeats, load, "goodput_rps")) is not None]
    return max(found, default=None)


def rows(found: Mapping[str, Sequence[Sequence[Seen]]], sizes: Sizes) -> list[dict[str, object]]:
    """Ours beside our own peak and the objective, then beside each peer."""
    ours = found[OURS]
    good = median(ours, OVERLOAD, "goodput_rps")
    peak = peak_rps(ours, sizes.sweep)
    table = [
        harness.row("goodput at 3 x", good, "rps", peer="own peak", peer_value=peak, goal="ratio >= 0.95"),
        harness.row("goodput at 3 x", good, "rps", peer="model", peer_value=CAPACITY_RPS),
        harness.row("p99 of accepted at 3 x", median(ours, OVERLOAD, "p99_ms"), "ms", goal=f"value <= {SLO_S * 1e3:g}"),
    ]
    for peer, repeats in found.items():
        if peer != OURS:
            theirs = median(repeats, OVERLOAD, "goodput_rps")
            goal = f"value >= {theirs or 0.0:.4g}"  # not as a ratio: most peers have nothing left
            table.append(harness.row("goodput at 3 x", good, "rps", peer=peer, peer_value=theirs, goal=goal))
            table.append(
                harness.row(
                    "p99 of accepted at 3 x",
                    median(ours, OVERLOAD, "p99_ms"),
                    "ms",
                    peer=peer,
                    peer_value=median(repeats, OVERLOAD, "p99_ms"),
                )
            )
    return table


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    harness.raise_open_files(10_000)
    sizes = QUICK if options.quick else FULL
    left_out: dict[str, str] = {}
    found = measure(sizes, left_out)
    details = {
        "capacity_rps": CAPACITY_RPS,
        "repeats": {name: [[asdict(seen) for seen in one] for one in repeats] for name, repeats in found.items()},
        "peaks_rps": {name: peak_rps(repeats, sizes.sweep) for name, repeats in found.items()},
        "left_out": left_out,
        "sizes": asdict(sizes),
    }
    harness.write_result(NAME, rows(found, sizes), details=details, quick=options.quick, packages=PACKAGES)


if __name__ == "__main__":
    main()
