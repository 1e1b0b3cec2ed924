"""How good the horizontal policies are: violations, cold starts and replica time, on generated loads and traces.

Each family's seeds differ from those that the constants of `dilu` were searched with, and some families were not used
then (`dilu_simulator.trials.loads`). `--traces DIR` adds the paper's traces (`workload_bursty.txt`,
`workload_periodic.txt`, `workload_sporadic.txt`: one rate a line, times 25), which have no licence and are not
included. `dilu` with more replica time shows the front that it reaches where the others spend more. "No worse than the
paper's rule" has a tolerance of 1 %.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import harness
from dilu.load.arrivals import Arrivals, RateArrivals
from dilu.load.rates import Flat
from dilu_autoscaler.policy.horizontal import POLICIES, AnyPolicy
from dilu_autoscaler.policy.horizontal.dilu.settings import TIME_RATIO, coscale_spec_for
from dilu_autoscaler.policy.horizontal.dilu_target.settings import target_settings_for
from dilu_simulator.single_function import SingleResult, SingleRun, simulate_single
from dilu_simulator.trials.loads import CAPACITY_RPS, FAMILIES, FIRST_JUDGING_SEED, HELD_OUT, load_rps
from dilu_simulator.workloads import read_workload

NAME = "policy_quality"
BASELINES: Final = ("dilu-paper", "kpa", "infless")
TARGETS: Final = (0.9, 0.95, 0.98)
"""Of `dilu-target`."""
TIME_RATIOS: Final = (1.1, 1.4, 1.7)
"""The one knob of `dilu`, beside its default."""
METRICS: Final = {"violations_percent": "violations", "cold_starts": "cold starts", "replica_s": "replica time"}
UNITS: Final = {"violations_percent": "%", "cold_starts": "starts", "replica_s": "s"}
NO_WORSE: Final = 0.01
TRACES: Final = ("bursty", "periodic", "sporadic")
_TRACE_SCALE: Final = 25.0
# Student's t for this number of values, two-sided 95 %; for more values the normal one is near enough.
_T95: Final = {2: 12.706, 5: 2.776, 10: 2.262, 20: 2.093}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over seeds, and half of its 95 % interval."""

    value: float
    half_width: float

    def text(self, digits: int) -> str:
        """Return mean and half width as text."""
        return f"{self.value:.{digits}f} ± {self.half_width:.{digits}f}"


def mean_of(values: list[float]) -> Mean:
    if len(values) < 2:
        return Mean(value=values[0], half_width=0.0)
    half_width = _T95.get(len(values), 1.96) * statistics.stdev(values) / math.sqrt(len(values))
    return Mean(value=statistics.fmean(values), half_width=half_width)


def with_time_ratio(time_ratio: float) -> AnyPolicy:
    """Return `dilu` with this multiple of the paper's replica time."""

    def settings_for(function: Any) -> Any:
        return replace(coscale_spec_for(function), time_ratio=time_ratio)

    return replace(POLICIES["dilu"], name=f"dilu x{time_ratio:g}", settings_for=settings_for)


def with_target(target_ratio: float) -> AnyPolicy:
    """`dilu-target` with that target."""

    def settings_for(function: Any) -> Any:
        return replace(target_settings_for(function), target_ratio=target_ratio)

    return replace(POLICIES["dilu-target"], name=f"dilu-target {target_ratio:g}", settings_for=settings_for)


def contestants() -> list[AnyPolicy]:
    return [
        POLICIES["dilu"],
        *[POLICIES[name] for name in BASELINES],
        *map(with_time_ratio, TIME_RATIOS),
        *map(with_target, TARGETS),
    ]


def arrivals_of(rates_rps: list[float]) -> Arrivals:
    return RateArrivals(segments=tuple([Flat(rps=rps, duration_s=1.0) for rps in rates_rps]), cv=0.0)


def compared(loads: list[Arrivals]) -> dict[str, list[SingleResult]]:
    """Return the results of each policy, one for each load."""
    return {
        policy.name: [simulate_single(SingleRun(policy=policy, capacity_rps=CAPACITY_RPS), load) for load in loads]
        for policy in contestants()
    }


def summary(results: list[SingleResult]) -> dict[str, Mean]:
    return {
        "violations_percent": mean_of([100 * result.slo_violation_ratio for result in results]),
        "cold_starts": mean_of([float(result.cold_starts) for result in results]),
        "replica_s": mean_of([result.instance_seconds for result in results]),
    }


def differences(ours: list[SingleResult], others: list[SingleResult]) -> dict[str, Mean]:
    """Return the differences to another policy on the same loads."""
    pairs = list(zip(ours, others, strict=True))
    return {
        "violations_percent": mean_of([100 * (a.slo_violation_ratio - b.slo_violation_ratio) for a, b in pairs]),
        "cold_starts": mean_of([float(a.cold_starts - b.cold_starts) for a, b in pairs]),
        "replica_s": mean_of([a.instance_seconds - b.instance_seconds for a, b in pairs]),
    }


def as_text(found: dict[str, Mean]) -> list[str]:
    return [found["violations_percent"].text(2), found["cold_starts"].text(1), found["replica_s"].text(0)]


def section(title: str, results: dict[str, list[SingleResult]]) -> list[str]:
    """Return the table of one load or family as Markdown."""
    lines = [f"\n### {title}\n", "| policy | violations % | cold starts | replica s |", "|---|---|---|---|"]
    lines += [f"| {name} | {' | '.join(as_text(summary(found)))} |" for name, found in results.items()]
    if len(results["dilu"]) > 1:
        less = as_text(differences(results["dilu"], results["dilu-paper"]))
        lines.append(f"| dilu less dilu-paper | {' | '.join(less)} |")
    return lines


def rows_of(title: str, results: dict[str, list[SingleResult]]) -> list[dict[str, object]]:
    """Return the default of `dilu` beside the paper's rule: no worse in any of the three, within the tolerance."""
    ours, paper = summary(results["dilu"]), summary(results["dilu-paper"])
    return [
        harness.row(
            f"{title}, {METRICS[what]}",
            ours[what].value,
            UNITS[what],
            peer="dilu-paper",
            peer_value=paper[what].value,
            goal="ratio <= 1" if paper[what].value else "value <= 0",
            tolerance=NO_WORSE,
        )
        for what in ours
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    traces = os.environ.get("TRACES") or None
    parser.add_argument(
        "--traces", type=Path, default=traces, metavar="DIR", help="folder of the paper's traces ($TRACES)"
    )
    parser.add_argument("--seeds", type=int, default=10, help="of each family")
    parser.add_argument("--table", type=Path, metavar="FILE.md", help="write the tables there too")


def loads_of(options: argparse.Namespace) -> dict[str, list[Arrivals]]:
    """Return the loads by the title of their table."""
    found: dict[str, list[Arrivals]] = {}
    if options.traces is None:
        harness.progress("without the paper's traces: neither --traces nor $TRACES is given")
    for name in TRACES:
        path = options.traces and options.traces / f"workload_{name}.txt"
        if path and path.exists():
            found[f"trace {name}"] = [read_workload(path, workload_format="rps", scale=_TRACE_SCALE, spacing="even")]
    seeds = range(FIRST_JUDGING_SEED, FIRST_JUDGING_SEED + (2 if options.quick else options.seeds))
    for family in ("flash",) if options.quick else sorted(FAMILIES):
        title = f"{family}{', held out' if family in HELD_OUT else ''}"
        found[title] = [arrivals_of(load_rps(family, seed)) for seed in seeds]
    return found


def main() -> None:
    options = harness.arguments(__doc__, add_options)
    os.sched_setaffinity(0, {harness.SERVER_CORE})
    rows, lines = [], [f"Default time ratio {TIME_RATIO:g}; seeds from {FIRST_JUDGING_SEED} on; mean ± 95 % interval."]
    for title, loads in loads_of(options).items():
        harness.progress(f"{title}: {len(loads)} loads")
        results = compared(loads)
        rows += rows_of(title, results)
        lines += section(title, results)
    if options.table:
        options.table.write_text("\n".join(lines) + "\n")
    harness.write_result(NAME, rows, details={"tables": lines, "seeds": options.seeds}, options=options)


if __name__ == "__main__":
    main()
