"""`dilu run`: one run of a training function in the foreground."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dilu.trainer.progress import StatusLine


@click.command()
@click.argument("target")
@click.option(
    "--steps",
    "last_iteration",
    type=click.IntRange(min=0),
    help="Run up to this iteration, counted over all runs.  [default: until steps ends]",
)
@click.option(
    "--checkpoint-dir", type=click.Path(path_type=Path), help="Folder of checkpoints.  [default: checkpoints/NAME]"
)
@click.option(
    "--checkpoint-every",
    "every",
    default="5m",
    show_default=True,
    help="Iterations (500) or time (30s, 10m, 2h); 0 means only at the end and at a stop.",
)
@click.option(
    "--keep", type=click.IntRange(min=1), default=3, show_default=True, help="Number of newest checkpoints to keep."
)
@click.option("--fresh", is_flag=True, help="Start at iteration 0 and ignore existing checkpoints.")
@click.option(
    "--stop-timeout",
    "stop_timeout_s",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    help="Maximum seconds for a stop.",
)
@click.option("--host", help="Address of the stats port.  [default: $HOST, else 127.0.0.1]")
@click.option(
    "--stats-port",
    type=click.IntRange(0, 65535),
    help="Port of /metrics, /healthz, /readyz, /v1/stats; 0 picks a free one.  [default: $DILU_STATS_PORT, else 8091]",
)
@click.option("--log-format", type=click.Choice(["plain", "json"]), help="[default: $DILU_LOG_FORMAT, else plain]")
def run(
    target: str,
    last_iteration: int | None,
    checkpoint_dir: Path | None,
    every: str,
    keep: int,
    fresh: bool,
    stop_timeout_s: float,
    host: str | None,
    stats_port: int | None,
    log_format: str | None,
) -> None:
    """Train TARGET (FILE.py, FILE.py:NAME or MODULE:NAME), from its newest checkpoint if there is one.

    \b
    dilu run train.py --steps 1000 --checkpoint-every 100

    SIGTERM or Ctrl-C: finishes the iteration, writes a checkpoint, exits 0. A second one ends at once; the last
    checkpoint stays complete. Run the command again to resume.
    """
    from dilu.runtime.logs import configure_logging
    from dilu.runtime.settings import read_settings
    from dilu.trainer.plan import TrainingPlan, checkpoint_every
    from dilu.trainer.process import end_process
    from dilu.trainer.run import run_training

    plan = TrainingPlan(
        last_iteration=last_iteration,
        checkpoint_dir=checkpoint_dir,
        every=checkpoint_every(every),
        keep=keep,
        is_fresh=fresh,
        stop_timeout_s=stop_timeout_s,
    )
    from_environment = read_settings(os.environ)
    settings = replace(
        from_environment,
        host=host or from_environment.host,
        stats_port=from_environment.stats_port if stats_port is None else stats_port,
        log_format=log_format or from_environment.log_format,
    )
    line = _status_line() if settings.log_format == "plain" else None
    configure_logging(log_format=settings.log_format, function=target, replica=settings.replica)
    end_process(run_training(target, plan, settings, line))


def _status_line() -> StatusLine | None:
    """Return a progress line if stderr is a terminal; output from now on goes above it."""
    if not sys.stderr.isatty():
        return None
    from dilu.trainer.progress import StatusLine

    line = StatusLine(sys.stderr)
    sys.stderr = line.above(sys.stderr)
    if sys.stdout.isatty():
        sys.stdout = line.above(sys.stdout)
    return line
