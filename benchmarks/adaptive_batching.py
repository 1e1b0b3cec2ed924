"""Learned waiting: latency beside batches that wait for a constant time, at three loads.

    python benchmarks/adaptive_batching.py [--quick]

One server, one model (5 ms + 0.5 ms an item, at most 16 a batch, `apps/linear_kernel.py`), Poisson arrivals in an open
loop at 0.3, 0.6 and 0.9 of the rate that the model can serve; only the rule that limits the wait of an open batch
differs (`apps/waiting_dilu.py`). 10 ms is mosec's default, 0 LitServe's. A constant is set for all loads.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from random import Random
from typing import Final

import harness
from apps.linear_kernel import FIXED_S, MAX_BATCH, PER_ITEM_S
from dilu.load.arrivals import poisson
from harness import BenchmarkError
from harness.peers import BENCHMARKS_PATH

NAME: Final = "adaptive_batching"
OURS: Final = "learned"
PACKAGES: Final = ("dilu", "uvicorn", "uvloop")
CAPACITY_RPS: Final = MAX_BATCH / (FIXED_S + PER_ITEM_S * MAX_BATCH)
LOADS: Final = (0.3, 0.6, 0.9)
REQUEST: Final = harness.http_request("POST", "/", b"[1.5]")
NO_WAIT: Final = "0 ms"  # not a constant wait: shown without a goal
RULES: Final[Mapping[str, Mapping[str, str]]] = {
    OURS: {},
    **{f"{wait_ms} ms": {"CONSTANT_WAIT_MS": str(wait_ms)} for wait_ms in (0, 2, 5, 10)},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often; of each load the first `settle_s` do not count."""

    repeats: int
    seconds: float
    settle_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The outcome of one load."""

    answered_rps: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    send_lag_p99_ms: float


FULL: Final = Sizes(repeats=5, seconds=5.0, settle_s=1.0)
QUICK: Final = Sizes(repeats=1, seconds=2.4, settle_s=0.4)


def measure_once(rule: str, seed: int, sizes: Sizes) -> dict[float, Seen]:
    """Measure one rule under each load, in a server that is started for this."""
    command = (sys.executable, "-m", "dilu", "serve", "benchmarks/apps/waiting_dilu.py")
    env = {"DILU_STATS_PORT": "0", **BENCHMARKS_PATH, **RULES[rule]}
    with harness.serving(rule, command, ready="/readyz", env=env) as server:
        return {load: measure_load(server.port, rule, load, seed, sizes) for load in LOADS}


def measure_load(port: int, rule: str, load: float, seed: int, sizes: Sizes) -> Seen:
    """Measure one rule under one load."""
    times_s = list(poisson(load * CAPACITY_RPS, sizes.seconds).times_s(Random(seed)))
    counted = [one for one in harness.open_loop(port, REQUEST, times_s) if one.due_s >= sizes.settle_s]
    if not all(one.ok for one in counted):
        raise BenchmarkError(f"{rule} at {load:g}: {sum(not one.ok for one in counted)} requests were not answered")
    latency_ms = [one.latency_s * 1e3 for one in counted]
    last_s = max(one.finished_s for one in counted)
    seen = Seen(
        answered_rps=len(counted) / (max(last_s, sizes.seconds) - sizes.settle_s),
        p50_ms=harness.percentile(latency_ms, 50),
        p95_ms=harness.percentile(latency_ms, 95),
        p99_ms=harness.percentile(latency_ms, 99),
        send_lag_p99_ms=harness.percentile([(one.sent_s - one.due_s) * 1e3 for one in counted], 99),
    )
    harness.progress(f"{rule} at {load:g} x: {seen.answered_rps:,.0f} a second, p95 {seen.p95_ms:.1f} ms")
    return seen


def rows(found: Mapping[str, Sequence[Mapping[float, Seen]]]) -> list[dict[str, object]]:
    """Return p95 and the answered rate at each load, ours beside each constant wait."""

    def each(rule: str, load: float, key: str) -> list[float]:
        return [getattr(repeat[load], key) for repeat in found[rule]]

    constants = [rule for rule in found if rule != OURS]
    table = [
        harness.row(
            f"p95 at {load:g} x",
            each(OURS, load, "p95_ms"),
            "ms",
            peer="no waiting" if rule == NO_WAIT else f"waits {rule}",
            peer_value=each(rule, load, "p95_ms"),
            goal=None if rule == NO_WAIT else "ratio <= 1",
        )
        for load in LOADS
        for rule in constants
    ]
    for load in LOADS:
        best = min(constants, key=lambda rule: harness.median(each(rule, load, "p95_ms")))
        table.append(
            harness.row(
                f"answered at {load:g} x",
                each(OURS, load, "answered_rps"),
                "rps",
                peer=f"waits {best}",
                peer_value=each(best, load, "answered_rps"),
                goal="ratio >= 1",
                tolerance=0.01,  # an open loop offers both the same requests; the last second may cut some
            )
        )
    return table


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    turns = dict.fromkeys(RULES, 0)

    def once(rule: str) -> dict[float, Seen]:
        turns[rule] += 1
        return measure_once(rule, turns[rule], sizes)  # all rules have the same arrivals in one repeat

    found = harness.interleaved(tuple(RULES), once, sizes.repeats)
    details = {
        "capacity_rps": CAPACITY_RPS,
        "repeats": {
            rule: [{f"{load:g}": asdict(seen) for load, seen in one.items()} for one in repeats]
            for rule, repeats in found.items()
        },
        "sizes": asdict(sizes),
    }
    harness.write_result(NAME, rows(found), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
