"""How much of a batched kernel's time our SDK turns into answers, beside mosec, LitServe and BentoML.

    python benchmarks/sdk_batching.py [--quick]

The kernel takes 5 ms a batch without the interpreter's lock (`apps/kernel.py`), a batch holds at most 32 items, 96
clients send 64 floats each in a closed loop. What the kernel allows is 32 / its time, measured in a quiet process in
the same run. Two sets of rows: servers on both cores, which those of several processes need, and servers on one core.
wrk has the second core; in the first set it shares it with the servers, for all alike. A peer runs with each of the
settings of `CONTENDERS`, and the best one counts; each has the same load before the measurement and the same number of
repeats. Only one contender runs at a time.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final

import harness
from apps.kernel import KERNEL_S, MAX_BATCH, Counts, new_counts, read_counts
from harness import BenchmarkError, Load, Server
from harness.peers import BENCHMARKS_PATH, LITSERVE_API_SERVERS, litserve_environment

NAME: Final = "sdk_batching"
OURS: Final = "dilu"
PACKAGES: Final = ("dilu", "uvicorn", "uvloop", "mosec", "litserve", "bentoml")
ITEM: Final = [round(math.sin(n), 6) for n in range(64)]
CLIENTS: Final = 96
APPS: Final = "benchmarks/apps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One server with one setting."""

    system: str
    command: tuple[str, ...]
    ready: str
    path: str = "/"
    env: Mapping[str, str] = field(default_factory=dict)
    item: Any = field(default_factory=lambda: ITEM)
    answer: Any = field(default_factory=lambda: len(ITEM))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How long and how often; the load before each measurement lets adaptive batching settle."""

    settle_s: int
    seconds: int
    repeats: int
    kernel_calls: int
    both_sets: bool
    contenders: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One repeat of one contender: the figures of the client, and what its kernel counted meanwhile."""

    load: Load
    counts: Counts


def _mosec(wait_ms: int, codec: str = "json") -> Contender:
    command = (sys.executable, f"{APPS}/batching_mosec.py", "--address", "127.0.0.1", "--port", "{port}")
    return Contender(
        system="mosec",
        command=(*command, "--log-level", "warning"),
        ready="/",
        path="/inference",
        env={"MAX_WAIT_MS": str(wait_ms), "CODEC": codec},
    )


def _litserve(wait_ms: int, api_servers: int) -> Contender:
    return Contender(
        system="LitServe",
        command=(sys.executable, f"{APPS}/batching_litserve.py"),
        ready="/health",
        path="/predict",
        env=litserve_environment(api_servers, BATCH_TIMEOUT_S=str(wait_ms / 1e3)),
    )


CONTENDERS: Final[Mapping[str, Contender]] = {
    OURS: Contender(
        system=OURS,
        command=(sys.executable, "-m", "dilu", "serve", f"{APPS}/batching_dilu.py"),
        ready="/readyz",
        env={"DILU_STATS_PORT": "0"},
    ),
    "mosec, waits 1 ms": _mosec(1),
    "mosec, waits 10 ms": _mosec(10),
    "mosec, waits 1 ms, msgspec": _mosec(1, "msgspec"),
    "mosec, waits 5 ms, msgspec": _mosec(5, "msgspec"),
    "mosec, waits 10 ms, msgspec": _mosec(10, "msgspec"),
    **{
        f"LitServe x{api_servers}, waits {wait_ms} ms": _litserve(wait_ms, api_servers)
        for api_servers in LITSERVE_API_SERVERS
        for wait_ms in (2, 10)
    },
    "BentoML, adaptive": Contender(
        system="BentoML",
        command=(
            *(sys.executable, "-m", "bentoml", "serve", "batching_bentoml:Infer"),
            *("--working-dir", APPS, "--host", "127.0.0.1", "--port", "{port}"),
        ),
        ready="/readyz",
        path="/infer",
        env={"BENTOML_DO_NOT_TRACK": "True"},
        item={"items": [ITEM]},
        answer=[len(ITEM)],
    ),
}
FULL: Final = Sizes(settle_s=4, seconds=5, repeats=5, kernel_calls=200, both_sets=True, contenders=tuple(CONTENDERS))
QUICK: Final = Sizes(
    settle_s=1,
    seconds=1,
    repeats=1,
    kernel_calls=100,
    both_sets=False,
    contenders=(OURS, "mosec, waits 10 ms, msgspec", "LitServe x2, waits 10 ms", "BentoML, adaptive"),
)
BOTH: Final = f"{harness.SERVER_CORE},{harness.CLIENT_CORE}"
ONE: Final = str(harness.SERVER_CORE)
_SETS: Final = {BOTH: "both cores", ONE: "one core"}

Found = dict[str, list[Seen]]  # by contender


# --- measuring ------------------------------------------------------------------------------------------------------


def kernel_s(calls: int) -> float:
    """Return how long the kernel's sleep takes in a quiet process: the median of `calls`."""
    program = (
        "import statistics, time\n"
        "def once():\n"
        "    began = time.monotonic()\n"
        f"    time.sleep({KERNEL_S})\n"
        "    return time.monotonic() - began\n"
        f"print(statistics.median(once() for _ in range({calls})))"
    )
    command = [harness.require_tool("taskset"), "-c", ONE, sys.executable, "-c", program]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure_once(name: str, cores: str, sizes: Sizes, folder: Path) -> Seen:
    """Start one contender and put it under load, for the times of `sizes`."""
    contender = CONTENDERS[name]
    counts = folder / "counts"
    new_counts(counts)
    # The inner taskset widens what the harness narrowed to one core.
    command = [harness.require_tool("taskset"), "-c", cores, *contender.command]
    env = {**BENCHMARKS_PATH, **contender.env, "DILU_BENCH_COUNTS": str(counts)}
    with harness.serving(name, command, ready=contender.ready, env=env) as server:
        check_answer(server, contender)
        body = json.dumps(contender.item).encode()
        url = server.url.rstrip("/") + contender.path
        harness.wrk(url, connections=CLIENTS, seconds=sizes.settle_s, body=body)
        before = read_counts(counts)
        load = harness.wrk(url, connections=CLIENTS, seconds=sizes.seconds, body=body)
        ran = read_counts(counts).since(before)
    if load.errors or load.not_2xx:
        raise BenchmarkError(f"{name}: {load.errors:g} requests failed, {load.not_2xx:g} were refused")
    return Seen(load=load, counts=ran)


def check_answer(server: Server, contender: Contender) -> None:
    """Raise BenchmarkError unless the server's answer is the kernel's."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=15)
    try:
        body = json.dumps(contender.item)
        connection.request("POST", contender.path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    if response.status != 200 or json.loads(text) != contender.answer:
        raise BenchmarkError(f"{server.name}: {response.status} {text[:80]!r} instead of {contender.answer}")


def measure(cores: str, sizes: Sizes, left_out: dict[str, str]) -> tuple[Found, float]:
    """Measure each contender that runs on these cores, alternately, and the kernel's time meanwhile."""
    kernels: list[float] = []

    def once(name: str) -> Seen | None:
        if name in left_out:
            return None
        kernels.append(kernel_s(sizes.kernel_calls))
        try:
            seen = measure_once(name, cores, sizes, folder)
        except BenchmarkError as error:
            if name == OURS:
                raise
            left_out[name] = str(error)
            return None
        mean_batch = seen.counts.items / max(1.0, seen.counts.batches)
        harness.progress(f"{_SETS[cores]}: {name}: {seen.load.rps:,.0f} requests/s, {mean_batch:.1f} a batch")
        return seen

    with tempfile.TemporaryDirectory(prefix="dilu-bench-") as made:
        folder = Path(made)
        by_name = harness.interleaved(sizes.contenders, once, sizes.repeats)
    found = {name: [one for one in seen if one is not None] for name, seen in by_name.items() if name not in left_out}
    return found, statistics.median(kernels)


# --- rows -----------------------------------------------------------------------------------------------------------


def summary(seen: Sequence[Seen]) -> dict[str, list[float]]:
    """Return the figures of one contender, for each repeat."""
    return {
        "rps": [one.load.rps for one in seen],
        "p50_ms": [one.load.p50_us / 1e3 for one in seen],
        "p99_ms": [one.load.p99_us / 1e3 for one in seen],
        "mean_batch": [one.counts.items / one.counts.batches for one in seen],
        "kernel_ms": [one.counts.busy_s / one.counts.batches * 1e3 for one in seen],
        # The share of time in which a batch ran: what is missing to 1 is time between batches.
        "busy_ratio": [one.counts.busy_s / (one.load.requests / one.load.rps) for one in seen],
    }


def best_by_system(summaries: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, str]:
    """Return the name of the best setting of each peer: the one with the highest median rate."""
    best: dict[str, str] = {}
    for name, seen in summaries.items():
        system = CONTENDERS[name].system
        if system != OURS:
            rate = harness.median(seen["rps"])
            if system not in best or rate > harness.median(summaries[best[system]]["rps"]):
                best[system] = name
    return best


def rows(
    summaries: Mapping[str, Mapping[str, Sequence[float]]], ideal_rps: float, cores: str
) -> list[dict[str, object]]:
    """Return our rate beside the kernel's and each peer's, and our latency beside each peer's."""
    ours = summaries[OURS]
    where = _SETS[cores]
    result = [
        harness.row(f"rate, {where}", ours["rps"], "rps", peer="kernel", peer_value=ideal_rps, goal="ratio >= 0.95"),
        harness.row(f"mean batch, {where}", ours["mean_batch"], "items", peer="kernel", peer_value=float(MAX_BATCH)),
    ]
    for name in best_by_system(summaries).values():
        peer = summaries[name]
        result.append(
            harness.row(f"rate, {where}", ours["rps"], "rps", peer=name, peer_value=peer["rps"], goal="ratio >= 1")
        )
        result += [
            harness.row(f"{key.removesuffix('_ms')}, {where}", ours[key], "ms", peer=name, peer_value=peer[key])
            for key in ("p50_ms", "p99_ms")
        ]
    return result


def main() -> None:
    options = harness.arguments(__doc__)
    harness.pin_client()
    sizes = QUICK if options.quick else FULL
    details: dict[str, object] = {"sizes": asdict(sizes), "clients": CLIENTS, "max_batch": MAX_BATCH}
    table: list[dict[str, object]] = []
    for cores, where in _SETS.items():
        if cores == ONE and not sizes.both_sets:
            continue
        left_out: dict[str, str] = {}
        found, quiet_s = measure(cores, sizes, left_out)
        summaries = {name: summary(seen) for name, seen in found.items()}
        ideal_rps = MAX_BATCH / quiet_s
        table += rows(summaries, ideal_rps, cores)
        details[where] = {
            "kernel_quiet_ms": quiet_s * 1e3,
            "ideal_rps": ideal_rps,
            "contenders": summaries,
            "left_out": left_out,
        }
    harness.write_result(NAME, table, details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
