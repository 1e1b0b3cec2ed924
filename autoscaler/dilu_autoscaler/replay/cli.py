"""`dilu policy replay`. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import click


@click.group()
def policy() -> None:
    """Try scaling policies on recorded load."""


@policy.command()
@click.option("--policy", "name", default="kpa", show_default=True, help="A policy's name, or FILE.py:FUNCTION.")
@click.option(
    "--spec", type=click.Path(path_type=Path), help="The function's settings (YAML).  [default: Knative's defaults]"
)
@click.option(
    "--observations", type=click.Path(path_type=Path, allow_dash=True), required=True, help="What was seen; - is stdin."
)
@click.option(
    "--tick",
    "tick_s",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds between decisions.",
)
def replay(name: str, spec: Path | None, observations: Path, tick_s: float) -> None:
    """Print what a policy decides on recorded load, one JSON object a line.

    \b
    dilu policy replay --policy kpa --spec spec.yaml --observations obs.jsonl

    \b
    Each line of the observations is one of
      {"t_s": 12, "ready": 3, "stable": 21.5, "panic": 30}   averages: one decision a line
      {"t_s": 12, "ready": 3, "concurrency": 21, "rps": 80}  values: one decision at each tick
    null is "no data"; a key "spec": {...} changes the spec from that line on. The spec has config-autoscaler's keys and
    the annotations' short names, and for other policies than kpa those of a function in a dilu.yaml.
    """
    from dilu_autoscaler.replay.policies import read_spec_file, scaler_named
    from dilu_autoscaler.replay.recorded_lines import read_lines
    from dilu_autoscaler.replay.runs import replayed

    scaler = scaler_named(name)
    keys = read_spec_file(spec, name)
    with ExitStack() as stack:
        texts = sys.stdin if str(observations) == "-" else stack.enter_context(_opened(observations))
        for decided in replayed(read_lines(str(observations), texts), scaler, keys, tick_s=tick_s):
            click.echo(json.dumps(decided.to_json()))


def _opened(path: Path) -> TextIO:
    from dilu.errors import ConfigError

    try:
        return path.open(encoding="utf-8", errors="replace")  # which JSON then refuses, with the line
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
