"""Which HTTP server the runtime stands on: four candidates under the same client, with the same handler.

    python benchmarks/server_choice.py [--quick]      measure, write the result, end with one line of JSON
    python benchmarks/server_choice.py --markdown     print the table of the last result and measure nothing
    python benchmarks/server_choice.py --adr          put that table into docs/adr/0001-http-server.md

What the candidates serve is in `apps/server_choice/`; how they are started, measured and compared in
`server_comparison/`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from dataclasses import asdict
from typing import Any, Final

import harness
from server_comparison.candidates import CANDIDATES, Found, shape, start
from server_comparison.clients import run_async
from server_comparison.drains import measure_drains
from server_comparison.rows import rows
from server_comparison.running import measure_loads, measure_waiting
from server_comparison.sizes import FULL, QUICK, Sizes
from server_comparison.streaming import measure_streams
from server_comparison.table import ADR, put_into_adr, table

NAME: Final = "server_choice"
PACKAGES: Final = ("uvicorn", "httptools", "uvloop", "granian", "gunicorn", "a2wsgi", "flask", "msgspec")


def measure(sizes: Sizes) -> dict[str, Found]:
    """Measure everything, by candidate."""
    found: dict[str, Found] = {name: {} for name in CANDIDATES}
    measure_running(found, sizes)
    measure_drains(found, sizes.drains)
    for name in CANDIDATES:
        harness.progress(f"{name}: {sizes.streams} streams")
        found[name]["streams"] = measure_streams(name, sizes)
    return found


def measure_running(found: dict[str, Found], sizes: Sizes) -> None:
    """Measure while all candidates run; only one of them has work at any time."""
    with contextlib.ExitStack() as stack:
        servers = {}
        for name in CANDIDATES:
            servers[name] = start(name, DILU_BENCH_LOAD_S="0.3", DILU_BENCH_PREDICT_S=str(sizes.predict_s))
            stack.callback(servers[name].stop)
            found[name] |= run_async(shape(servers[name]))
        measure_loads(servers, found, sizes)
        for name, server in servers.items():
            harness.progress(f"{name}: disconnect, probes")
            found[name] |= measure_waiting(server, sizes)


def stored(*, quick: bool) -> dict[str, Any]:
    """Return the last result; raises BenchmarkError if there is none."""
    path = harness.result_path(NAME, quick=quick)
    if not path.exists():
        where = path.relative_to(harness.ROOT)
        raise harness.BenchmarkError(f"there is no {where} yet: run this script without --markdown and --adr")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--markdown", action="store_true", help="print the table of the last result, measure nothing")
    parser.add_argument("--adr", action="store_true", help=f"put that table into {ADR.relative_to(harness.ROOT)}")


def main() -> None:
    options = harness.arguments(__doc__, _options)
    if options.markdown:
        print(table(stored(quick=options.quick)))
    elif options.adr:
        put_into_adr(table(stored(quick=options.quick)))
    else:
        harness.pin_client()
        harness.raise_open_files(20_000)
        sizes = QUICK if options.quick else FULL
        found = measure(sizes)
        details = {**found, "sizes": asdict(sizes)}
        harness.write_result(NAME, rows(found, sizes), details=details, options=options, packages=PACKAGES)


if __name__ == "__main__":
    main()
