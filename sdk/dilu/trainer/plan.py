"""The plan of one run: how far it goes, and where and how often it takes checkpoints."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dilu.errors import ConfigError

_UNITS_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}
_EVERY = re.compile(r"(\d{1,9})|(\d{1,9}(?:\.\d{1,9})?)([smh])", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointEvery:
    """The interval of checkpoints, in iterations or seconds; with neither, only at the end and at a stop."""

    iterations: int | None = None
    seconds: float | None = None

    def is_due(self, *, iterations: int, seconds: float) -> bool:
        """Return whether a checkpoint is due after this number of iterations and seconds since the last one."""
        by_count = self.iterations is not None and iterations >= self.iterations
        return by_count or (self.seconds is not None and seconds >= self.seconds)


def checkpoint_every(text: str) -> CheckpointEvery:
    """Parse an interval of checkpoints. Raise `ConfigError`.

    >>> checkpoint_every("500"), checkpoint_every("10m")
    (CheckpointEvery(iterations=500, seconds=None), CheckpointEvery(iterations=None, seconds=600.0))

    `0` means only at the end and at a stop.
    """
    match = _EVERY.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"checkpoint-every = {text[:40]!r}, must be iterations (500) or a time (30s, 10m, 2h), or 0 for none"
        )
    count, number, unit = match.groups()
    if count is not None:
        return CheckpointEvery(iterations=int(count) or None)
    return CheckpointEvery(seconds=float(number) * _UNITS_S[unit] or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """The options of one run."""

    last_iteration: int | None = None  # counted over all runs; None: until steps ends
    checkpoint_dir: Path | None = None  # None: checkpoints/NAME in the working folder
    every: CheckpointEvery = field(default_factory=lambda: CheckpointEvery(seconds=300.0))
    keep: int = 3  # newest checkpoints; older ones are removed
    is_fresh: bool = False  # start at iteration 0 and ignore existing checkpoints
    stop_timeout_s: float = 30.0  # for the current iteration and its checkpoint, after a stop was requested
