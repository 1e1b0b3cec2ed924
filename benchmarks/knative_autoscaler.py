"""Our autoscaler in the place of Knative's own: what it uses at rest and how fast it starts a pod, beside stock.

    python benchmarks/knative_autoscaler.py [--quick] [--only cpu|latency|cold-start] [--knative RELEASE] [--name NAME]

Needs root; builds what it runs if it is not in the cache (docs/test-cluster.md), and leaves nothing running. The two
autoscalers alternate in each part, and the one that comes first changes from turn to turn; each row has the smallest
and the largest turn beside the median.

* cpu: 300, then 1,000 revisions with 3 ready pods each in an API server without controllers or kubelet. Each autoscaler
  scrapes every pod each second and decides every two; what it uses over a minute in which nothing changes. Then the
  time from an activator's report to the change of a Deployment at zero, while the rest continues.
* latency: the same time with only the revisions that are at zero.
* cold-start: on a whole cluster, from the request to the answer of a function without a pod, through Kourier.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import harness
from autoscaler_comparison.cold_starts import measure_cold_starts
from autoscaler_comparison.contestants import OURS, STOCK, ours_is_there, running
from autoscaler_comparison.filling import bring_to_zero, fill, make_namespace
from autoscaler_comparison.manifests import Revision, busy_revision, idle_revision
from autoscaler_comparison.pokes import Pokes, measure_pokes
from autoscaler_comparison.rest import AtRest, measure_rest
from autoscaler_comparison.sizes import FULL, PODS_PER_REVISION, QUICK, Sizes, in_turn
from autoscaler_comparison.world import World, running_world
from harness import BenchmarkError
from testcluster.parts import DEFAULT_KNATIVE, KUBERNETES_VERSION

NAME: Final = "knative_autoscaler"
PACKAGES: Final = ("dilu", "kubernetes", "aiohttp", "httptools", "uvloop", "msgspec", "protobuf")
CLUSTER: Final = "dilu-bench-scaler"
PEER: Final = "Knative's own"
BOTH: Final = (OURS, STOCK)
GOALS_FROM: Final = 300  # revisions; with fewer, both use next to nothing, and 10 ms of processor time is the unit
PARTS: Final = ("latency", "cpu", "cold-start")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The measurements of one autoscaler, by turn; parts that were left out are empty."""

    rest: list[AtRest] = field(default_factory=list)
    pokes: list[Pokes] = field(default_factory=list)


def measure_world(
    name: str, release: str, sizes: Sizes, parts: Sequence[str], names: Sequence[str]
) -> dict[str, Found]:
    """Measure the parts that need no cluster, by autoscaler."""
    found = {one: Found() for one in names}
    idle = [idle_revision(number) for number in range(sizes.idle_revisions)]
    with running_world(name, release) as world:
        make_namespace(world)
        fill(world, idle)
        if "latency" in parts:
            measure_quiet(world, found, idle, sizes)
        if "cpu" in parts:
            busy: list[Revision] = []
            for count, turns in sorted(sizes.turns.items()):
                added = [busy_revision(number, PODS_PER_REVISION) for number in range(len(busy), count)]
                fill(world, added)
                busy += added
                measure_busy(world, found, idle, busy, sizes, turns)
    return found


def measure_quiet(world: World, found: Mapping[str, Found], idle: Sequence[Revision], sizes: Sizes) -> None:
    """Measure starts from zero with nothing else to do."""
    for turn in range(sizes.quiet_turns):
        for name in in_turn(list(found), turn):
            harness.progress(f"{name}, revisions at zero alone, turn {turn + 1} of {sizes.quiet_turns}")
            with running(world, name):
                found[name].pokes.append(measure_pokes(world, idle, count=sizes.pokes, busy_revisions=0))
            bring_to_zero(world, idle)


def measure_busy(
    world: World,
    found: Mapping[str, Found],
    idle: Sequence[Revision],
    busy: Sequence[Revision],
    sizes: Sizes,
    turns: int,
) -> None:
    """Measure the use at rest, and starts from zero, with all revisions."""
    for turn in range(turns):
        for name in in_turn(list(found), turn):
            harness.progress(f"{name}, {len(busy)} revisions, turn {turn + 1} of {turns}")
            with running(world, name) as contestant:
                found[name].rest.append(measure_rest(world, contestant, busy, sizes))
                pokes = measure_pokes(world, idle, count=sizes.pokes, busy_revisions=len(busy))
                found[name].pokes.append(pokes)
            bring_to_zero(world, idle)


def rows(
    found: Mapping[str, Found], cold_s: Mapping[str, Sequence[float]], sizes: Sizes, parts: Sequence[str]
) -> list[dict[str, object]]:
    """Return ours beside stock; a figure that was not taken is None, and its goal not met."""
    table: list[dict[str, object]] = []
    if "cpu" in parts:
        for count in sorted(sizes.turns, reverse=True):
            table += rest_rows(found, count)
            table += poke_rows(found, count)
    if "latency" in parts and sizes.quiet_turns:
        table += poke_rows(found, 0)
    if "cold-start" in parts:
        table += cold_start_rows(cold_s)
    return table


def cold_start_rows(cold_s: Mapping[str, Sequence[float]]) -> list[dict[str, object]]:
    """Return the seconds from no pod to the answer."""
    table = []
    for what, percent, goal in (("p50", 50, "ratio <= 1"), ("p95", 95, None)):
        ours, stock = (harness.percentile(cold_s[one], percent) if cold_s.get(one) else None for one in BOTH)
        metric = f"0 → first answer, {what}"
        row = harness.row(metric, ours, "s", peer=PEER, peer_value=stock, goal=goal, tolerance=0.05 if goal else 0.0)
        table.append(row)
    return table


def rest_rows(found: Mapping[str, Found], revisions: int) -> list[dict[str, object]]:
    """Return CPU, memory, and that both scraped alike."""
    what = f"{revisions:,} revisions × {PODS_PER_REVISION} pods"

    def line(
        metric: str, unit: str, value_of: Callable[[AtRest], float], goal: str | None = None, tolerance: float = 0.0
    ) -> dict[str, object]:
        values = {
            name: [value_of(rest) for rest in one.rest if rest.revisions == revisions] for name, one in found.items()
        }
        ours, stock = (values.get(one, []) for one in BOTH)
        stated = goal if revisions >= GOALS_FROM else None
        return harness.row(
            f"{metric}, {what}", ours, unit, peer=PEER, peer_value=stock, goal=stated, tolerance=tolerance
        )

    return [
        line("CPU at rest", "mCPU", lambda one: one.cpu_milli, "ratio <= 1"),
        line("CPU at rest (above this it has failed)", "mCPU", lambda one: one.cpu_milli, "ratio <= 2"),
        line("CPU of one scrape", "µs", lambda one: one.cpu_milli / one.scrapes_rps * 1000),
        line("resident memory", "MiB", lambda one: one.rss_mib, "ratio <= 2"),
        line("scrapes", "per s", lambda one: one.scrapes_rps, "ratio >= 1", tolerance=0.02),
    ]


def poke_rows(found: Mapping[str, Found], busy_revisions: int) -> list[dict[str, object]]:
    """Return the milliseconds from a report to /scale: of both, and how much later ours is, by turn."""

    def each_ms(name: str, percent: float) -> list[float]:
        if name not in found:
            return []
        seen = [pokes for pokes in found[name].pokes if pokes.busy_revisions == busy_revisions]
        return [1000 * harness.percentile(pokes.took_s, percent) for pokes in seen]

    (ours, stock), (worst_ours, worst_stock) = ([each_ms(name, percent) for name in BOTH] for percent in (50, 95))
    later = [mine - theirs for mine, theirs in zip(ours, stock, strict=False)]  # one of them may be missing
    beside = f"{busy_revisions:,} revisions at rest" if busy_revisions else "nothing else"
    metric = f"report → /scale from zero, beside {beside}"
    return [
        harness.row(f"{metric}, p50", ours, "ms", peer=PEER, peer_value=stock),
        harness.row(f"{metric}, p50 later than {PEER}", later, "ms", goal="value <= 5"),
        harness.row(f"{metric}, p95", worst_ours, "ms", peer=PEER, peer_value=worst_stock),
    ]


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", choices=PARTS, help="one part (default: all; with --quick all but cold-start)")
    parser.add_argument("--knative", default=DEFAULT_KNATIVE, metavar="RELEASE", help="Knative's release")
    parser.add_argument("--name", default=CLUSTER, help="name of the world, or of the cluster, while it runs")


def main() -> None:
    options = harness.arguments(__doc__, _options)
    if os.geteuid() != 0:
        raise BenchmarkError("namespaces need root: run it with sudo")
    sizes = QUICK if options.quick else FULL
    parts = (options.only,) if options.only else PARTS[:2] if options.quick else PARTS
    names = BOTH if ours_is_there() else (STOCK,)
    if OURS not in names:
        harness.progress("ours is not installed (`dilu autoscaler --help` fails): its figures are missing")
    in_world = [part for part in parts if part != "cold-start"]
    found = measure_world(options.name, options.knative, sizes, in_world, names) if in_world else {}
    cold_s = measure_cold_starts(options.name, options.knative, sizes, names) if "cold-start" in parts else {}
    details: dict[str, Any] = {
        "knative": options.knative,
        "kubernetes": KUBERNETES_VERSION,
        "kernel": platform.release(),
        "ours": "measured" if OURS in names else "missing",
        "sizes": asdict(sizes),
        "found": {name: asdict(one) for name, one in found.items()},
        "cold_starts_s": {name: [round(one, 3) for one in took_s] for name, took_s in cold_s.items()},
    }
    harness.write_result(NAME, rows(found, cold_s, sizes, parts), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
