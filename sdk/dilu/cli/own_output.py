"""Answers of commands that import people's modules: nothing that a module prints may get between them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable

import click

from dilu.errors import DiluError


def answer_alone(answer: Callable[[], bytes]) -> None:
    """Write what `answer` gives to standard output, and end the process: 0, or 2 after a `DiluError`, which is said.

    From now on whatever else the process prints goes to standard error: what a module prints while it is imported, from
    C, or at the interpreter's end.
    """
    # Here: the runtime, whose module this is, is slow to import, and most commands do not need it.
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
    exit_surely(code, finish=logging.shutdown)  # whatever threads the module has started
