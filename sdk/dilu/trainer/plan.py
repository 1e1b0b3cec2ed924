"""What a person asks of one run: how far, and where and how often its state is kept."""

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
    """How often a checkpoint is taken, by iterations or by time; with neither only at the end and at a stop."""

    iterations: int | None = None
    seconds: float | None = None

    def is_due(self, *, iterations: int, seconds: float) -> bool:
        """Whether so many iterations, or so much time, since the last checkpoint call for another one."""
        by_count = self.iterations is not None and iterations >= self.iterations
        return by_count or (self.seconds is not None and seconds >= self.seconds)


def checkpoint_every(text: str) -> CheckpointEvery:
    """How often, as people write it. Raises `ConfigError`.

    >>> checkpoint_every("500"), checkpoint_every("10m")
    (CheckpointEvery(iterations=500, seconds=None), CheckpointEvery(iterations=None, seconds=600.0))

    `0` is never: only at the end and at a stop.
    """
    match = _EVERY.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"checkpoint-every = {text[:40]!r}, must be iterations (500) or a time (30s, 10m, 2h); 0 is never"
        )
    count, number, unit = match.groups()
    if count is not None:
        return CheckpointEvery(iterations=int(count) or None)
    return CheckpointEvery(seconds=float(number) * _UNITS_S[unit] or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """How one run goes."""

    last_iteration: int | None = None  # counted from the very first one, over all runs; None: until steps ends
    checkpoint_dir: Path | None = None  # None: checkpoints/NAME in the working folder
    every: CheckpointEvery = field(default_factory=lambda: CheckpointEvery(seconds=300.0))
    keep: int = 3  # newest checkpoints; older ones are removed
    is_fresh: bool = False  # begin at iteration 0 whatever checkpoints there are
    stop_timeout_s: float = 30.0  # for the current iteration and its checkpoint, once a stop is asked for
