"""The command line that every script shares, and what is recorded when a run starts."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final

from harness.console import BenchmarkError, progress
from harness.start import MAX_LOAD_AT_START, Start, wait_for_rest

_MEASURE_NOTHING: Final = ("adr", "markdown", "table")  # options of scripts that print what was measured before


def arguments(description: str | None, *extra: Callable[[argparse.ArgumentParser], object]) -> argparse.Namespace:
    """Parse the command line; the result has `quick` and `start`, and what each of `extra` adds.

    From here on a BenchmarkError that ends the script is one line without a traceback, and SIGTERM stops the servers
    as Ctrl-C does.
    """
    sys.excepthook = _print_in_one_line
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=(description or "").strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a short run in under 50 seconds; not for publishing")
    parser.add_argument(
        "--wait-s",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help=f"wait at most this long for a load average of at most {MAX_LOAD_AT_START:g} before a full run",
    )
    for add in extra:
        add(parser)
    options = parser.parse_args()
    options.start = wait_for_rest(0.0 if options.quick else options.wait_s)
    if not options.quick and not any(vars(options).get(name) for name in _MEASURE_NOTHING):
        _warn_of_load(options.start)
    return options


def _warn_of_load(start: Start) -> None:
    if not start.at_rest:
        progress(
            f"the load average is {start.load_average:.2f}, above {MAX_LOAD_AT_START:g}: "
            "the machine is not at rest, and the result is kept as NAME.busy.json"
        )


def _print_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, BenchmarkError):
        progress(f"error: {error}")
    else:
        sys.__excepthook__(kind, error, trace)
