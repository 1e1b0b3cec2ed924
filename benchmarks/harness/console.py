"""What a script takes and says: its options, progress on stderr, and one line where it cannot go on."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable
from types import TracebackType


class BenchmarkError(Exception):
    """A benchmark cannot go on: a tool is missing, a server did not start, or something was left running."""


def arguments(description: str | None, *extra: Callable[[argparse.ArgumentParser], object]) -> argparse.Namespace:
    """The parsed command line, with `quick`; each of `extra` may add options of the script's own.

    From here on a BenchmarkError that ends the script is one line, without a traceback, and SIGTERM stops the servers
    as Ctrl-C does.
    """
    sys.excepthook = _say_in_one_line
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=(description or "").strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a look in under 50 seconds; not for publishing")
    for add in extra:
        add(parser)
    return parser.parse_args()


def _say_in_one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, BenchmarkError):
        say(f"error: {error}")
    else:
        sys.__excepthook__(kind, error, trace)


def say(text: str) -> None:
    """One line of progress, on stderr: stdout is for the result."""
    print(text, file=sys.stderr, flush=True)
