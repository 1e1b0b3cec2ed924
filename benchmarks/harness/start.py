"""The state in which a run starts: the load of the machine, the commit, and whether the tree has changes."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from typing import Final

from harness.console import progress
from harness.machine import ROOT

# Of the last minute, over all cores. Above it other processes take part in what is measured.
MAX_LOAD_AT_START: Final = 0.5
_POLL_S: Final = 5.0
# What a run itself writes does not make the tree dirty for the next one.
_WRITTEN_BY_RUNS: Final = (":!benchmarks/results", ":!docs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a reader must know of the moment at which a run started."""

    load_average: float
    commit: str | None  # None: not in a git checkout
    dirty: bool | None  # whether tracked files differ from the commit; None: unknown

    @property
    def at_rest(self) -> bool:
        """Whether the machine had nothing else to do."""
        return self.load_average <= MAX_LOAD_AT_START


def wait_for_rest(max_wait_s: float) -> Start:
    """Return the state at the start, once the load average is low enough or `max_wait_s` have passed."""
    until_s = time.monotonic() + max_wait_s
    while (load := os.getloadavg()[0]) > MAX_LOAD_AT_START and (left_s := until_s - time.monotonic()) > 0:
        progress(f"load average {load:.2f}: waiting for {MAX_LOAD_AT_START:g}, at most {left_s:.0f} s more")
        time.sleep(min(_POLL_S, left_s))
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ".", *_WRITTEN_BY_RUNS)
    return Start(load_average=round(load, 2), commit=commit, dirty=None if changes is None else bool(changes))


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
