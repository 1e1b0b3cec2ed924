"""Progress on stderr, and the error that ends a script with one line."""

from __future__ import annotations

import sys


class BenchmarkError(Exception):
    """A benchmark cannot continue: a tool is missing, a server did not start, or a process was left running."""


def progress(text: str) -> None:
    """Print one line of progress to stderr; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)
