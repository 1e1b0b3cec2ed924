"""Output of commands that import user modules: what a module prints must not mix with it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import click

from dilu.errors import DiluError


def answer_alone(answer: Callable[[], bytes]) -> None:
    """Write the result of `answer` to stdout, and end the process: 0, or 2 with a `DiluError` on stderr.

    All other output of the process goes to stderr from now on: what a module prints while it is imported, from C, or
    at the interpreter's end.
    """
    # Imported here, because the runtime is slow to import and most commands do not need it.
    from dilu.runtime.process import exit_surely

    output_fd = os.dup(1)
    os.dup2(2, 1)
    try:
        body, code = answer(), 0
    except DiluError as error:
        click.echo(f"dilu: {error}", err=True)
        body, code = b"", 2
    with os.fdopen(output_fd, "wb") as output:
        output.write(body)
    exit_surely(code, finish=logging.shutdown)  # even if the module has started threads
