"""Runs every benchmark of this folder, one after another, and ends with one line of JSON that holds all their rows.

    python benchmarks/run_all.py [--quick] [--only NAME ...]
    python benchmarks/run_all.py --table      write the kept results into docs/ and the README, and measure nothing

A full run waits before each script until the machine is at rest. A goal that is not met is shown as such and does not
fail the run; a script that breaks does (exit code 1).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import harness
from harness.headlines import write_headlines
from harness.tables import write_table

HERE: Final = Path(__file__).parent
NOT_BENCHMARKS: Final = {"harness", "run_all"}
# A script that takes longer than this hangs.
LIMIT_S: Final = {True: 180, False: 3 * 3600}
MAX_WAIT_S: Final = 600.0  # for rest, before each script of a full run


def names() -> list[str]:
    """Return the benchmarks: every script of this folder."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in NOT_BENCHMARKS)


def run(name: str, *, quick: bool) -> list[dict[str, Any]] | None:
    """Run one benchmark and return its rows; None if it broke."""
    harness.progress(f"== {name}")
    mode = ["--quick"] if quick else ["--wait-s", f"{MAX_WAIT_S:g}"]
    command = [sys.executable, str(HERE / f"{name}.py"), *mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            output, _ = process.communicate(timeout=LIMIT_S[quick])
        except subprocess.TimeoutExpired:
            process.terminate()  # the script stops its servers, which a kill would leave running
            output, _ = process.communicate()
    try:
        if process.returncode != 0:
            raise harness.BenchmarkError(f"exit code {process.returncode}")
        rows: list[dict[str, Any]] = json.loads(output.strip().splitlines()[-1])["rows"]
    except (harness.BenchmarkError, ValueError, LookupError) as error:
        harness.progress(f"{name} broke: {error}")
        return None
    return rows


def shown(name: str, row: dict[str, Any]) -> str:
    """Return one row as a line of text."""
    value = "none" if row["value"] is None else f"{row['value']:,}"
    peer = f" ({row['peer']}: {row['peer_value']:,})" if row["peer_value"] is not None else ""
    goal = f"  {row['goal']}: {'met' if row['met'] else 'NOT MET'}" if row["goal"] else ""
    return f"{name:16} {row['metric']:36} {value:>10} {row['unit']}{peer}{goal}"


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--table", action="store_true", help="write the table of all kept results, measure nothing")
    parser.add_argument("--only", nargs="+", choices=names(), metavar="NAME", help=f"some of {', '.join(names())}")


def main() -> None:
    options = harness.arguments(__doc__, _options)
    if options.table:
        print(write_table(), write_headlines())
        return
    results = {name: run(name, quick=options.quick) for name in options.only or names()}
    rows = [{"benchmark": name, **row} for name, found in results.items() for row in found or []]
    for row in rows:
        print(shown(str(row["benchmark"]), row))
    broken = sorted(name for name, found in results.items() if found is None)
    print(json.dumps({"name": "run_all", "broken": broken, "rows": rows}))
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
