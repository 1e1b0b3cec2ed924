"""`dilu annotations`: what a function says of itself, as the annotations that its platform reads."""

import json
import logging
import os
import re
from collections.abc import Mapping
from typing import Final

import click

from dilu.errors import ConfigError, DiluError

_KN: Final = "kn"
# A shell splits what `$(…)` prints at white space, and takes these for patterns.
_UNSAFE: Final = re.compile(r"[\s*?\[\]\\]")


@click.command()
@click.argument("target")
@click.option(
    "--format",
    "form",
    type=click.Choice([_KN, "yaml", "json"]),
    default=_KN,
    show_default=True,
    help="kn: flags for `kn service create`. yaml: for spec.template.metadata of a Knative Service. json: an object.",
)
def annotations(target: str, form: str) -> None:
    """Print the annotations of TARGET (FILE.py, FILE.py:NAME or MODULE:NAME), one function.

    \b
    kn service create embed --image IMAGE $(dilu annotations app.py)

    What the function leaves at its default is not printed. The module is imported.
    """
    from dilu.loading import load_function
    from dilu.runtime.process import exit_surely
    from dilu.spec import to_annotations

    output_fd = _take_output()
    try:
        answer, code = written(to_annotations(load_function(target).spec), form), 0
    except DiluError as error:
        click.echo(f"dilu: {error}", err=True)
        answer, code = "", 2
    with os.fdopen(output_fd, "w", encoding="utf-8") as output:
        output.write(answer)
    exit_surely(code, finish=logging.shutdown)  # whatever threads the module has started


def _take_output() -> int:
    """A file descriptor for our answer alone: whatever the module prints goes to standard error, and into no flag."""
    output_fd = os.dup(1)
    os.dup2(2, 1)
    return output_fd


def written(found: Mapping[str, str], form: str) -> str:
    """The annotations in one of the forms, with a line's end. Raises `ConfigError` if a shell would change them."""
    if form == "json":
        return json.dumps(found) + "\n"
    if form == "yaml":
        # Every JSON string is one of YAML, and without quotes 300 would be a number, which Kubernetes refuses.
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in found.items()) or "{}\n"
    for key, value in found.items():
        if _UNSAFE.search(value):
            raise ConfigError(f"{key} = {value!r}: cannot be a flag in $(…); use --format yaml or json")
    return "".join(f"--annotation {key}={value}\n" for key, value in found.items())
