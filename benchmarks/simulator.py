"""A day of 100 functions on 1,000 nodes of 4 GPUs: how long one core simulates it, and in how much memory.

The load is that of `apps/simulated_day.py`. Each run is a process of its own on one core; the policies alternate.
Memory is compared with that of a shorter run of the same load: it must grow with live requests, not with past ones.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Final

import harness
from apps.simulated_day import DAY_S, FUNCTIONS, Seen

NAME = "simulator"
POLICIES: Final = ("dilu", "dilu-paper")
PROGRAM: Final = harness.ROOT / "benchmarks" / "apps" / "simulated_day.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much and how often."""

    duration_s: float
    repeats: int


FULL: Final = Sizes(duration_s=DAY_S, repeats=3)
QUICK: Final = Sizes(duration_s=DAY_S / 24, repeats=1)


def run_apart(policy: str, duration_s: float) -> Seen:
    """Run a part of the day in a process of its own on the first core."""
    harness.progress(f"{policy}: {duration_s / 3600:g} h")
    command = [harness.require_tool("taskset"), "-c", str(harness.SERVER_CORE), sys.executable, str(PROGRAM)]
    printed = subprocess.run([*command, policy, str(duration_s)], check=True, stdout=subprocess.PIPE, text=True).stdout
    return Seen(**json.loads(printed))


def main() -> None:
    options = harness.arguments(__doc__)
    sizes = QUICK if options.quick else FULL

    def once(policy: str) -> tuple[Seen, Seen]:
        return run_apart(policy, sizes.duration_s), run_apart(policy, sizes.duration_s / 4)

    found = harness.interleaved(POLICIES, once, sizes.repeats)
    rows = []
    for policy, pairs in found.items():
        whole, quarter = zip(*pairs, strict=True)
        goal = None if options.quick else "value <= 60"
        rates = [run.requests / run.cpu_s for run in whole]
        rows += [
            harness.row(f"day, {policy}", [run.cpu_s for run in whole], "s of one core", goal=goal),
            harness.row(f"requests, {policy}", rates, "a second of one core"),
            harness.row(
                f"peak memory, {policy}",
                [run.peak_mib for run in whole],
                "MiB",
                peer="a quarter of the time",
                peer_value=[run.peak_mib for run in quarter],
                goal="ratio <= 1.25",
            ),
        ]
    runs = [asdict(run) for pairs in found.values() for pair in pairs for run in pair]
    details = {"runs": runs, "functions": FUNCTIONS, "sizes": asdict(sizes)}
    harness.write_result(NAME, rows, details=details, options=options)


if __name__ == "__main__":
    main()
