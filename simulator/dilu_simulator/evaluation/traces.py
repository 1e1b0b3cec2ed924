"""The paper's published traces, which are read where the person who evaluates has put them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals
from dilu_simulator.workloads import read_workload

TRACES: Final = ("bursty", "periodic", "sporadic")
SCALE: Final = 25.0
"""Times what the files say, as a script of the paper's does."""
WHERE_FROM: Final = (
    "the folder scheduling/data/workloads of the paper's public repository, https://github.com/sigserverless/Dilu, "
    "has workload_bursty.txt, workload_periodic.txt and workload_sporadic.txt. They have no licence, so they are not "
    "part of this project"
)


def traces_in(folder: Path | None) -> tuple[str, ...]:
    """Those that are in the folder; without any, raises `ConfigError` that says where they come from."""
    if folder is None:
        raise ConfigError(f"table3 needs --traces DIR, the folder of the published traces: {WHERE_FROM}")
    found = tuple(name for name in TRACES if path_of(folder, name).is_file())
    if not found:
        raise ConfigError(f"--traces {folder}: no workload_bursty.txt and none of the others; {WHERE_FROM}")
    return found


def path_of(folder: Path, trace: str) -> Path:
    """Return the file of a trace."""
    return folder / f"workload_{trace}.txt"


def load_of(folder: Path, trace: str, spacing: str, *, until_s: float | None = None) -> Arrivals:
    """Return the trace's requests, evenly spaced within each second (`even`), or `poisson`."""
    load = read_workload(path_of(folder, trace), workload_format="rps", scale=SCALE, spacing=spacing)
    return load if until_s is None or until_s >= load.duration_s else load.until(until_s)


def missing_text(found: tuple[str, ...]) -> str:
    """Return a sentence on the missing traces; empty if there are none.

    >>> missing_text(("bursty", "periodic"))
    'Not in the folder, and so left out: sporadic.'
    """
    missing = [name for name in TRACES if name not in found]
    return f"Not in the folder, and so left out: {', '.join(missing)}." if missing else ""
