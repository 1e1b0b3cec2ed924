"""`dilu annotations`: the spec of a function as the annotations that its platform reads."""

import json
import re
from collections.abc import Mapping
from typing import Final

import click

from dilu.cli.own_output import answer_alone
from dilu.errors import ConfigError

_KN: Final = "kn"
# A shell splits the output of `$(…)` at white space, and expands these as patterns.
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

    Values that the function leaves at their defaults are not printed. The module is imported.
    """
    from dilu.loading import load_function
    from dilu.spec import to_annotations

    answer_alone(lambda: written(to_annotations(load_function(target).spec), form).encode())


def written(found: Mapping[str, str], form: str) -> str:
    """Return the annotations in one of the formats. Raise `ConfigError` if a shell would change them."""
    if form == "json":
        return json.dumps(found) + "\n"
    if form == "yaml":
        # Every JSON string is a YAML string. Without quotes 300 would be a number, which Kubernetes refuses.
        return "".join(f"{key}: {json.dumps(value)}\n" for key, value in found.items()) or "{}\n"
    for key, value in found.items():
        if _UNSAFE.search(value):
            raise ConfigError(f"{key} = {value!r}: a shell would change it in $(…); use --format yaml or json")
    return "".join(f"--annotation {key}={value}\n" for key, value in found.items())
