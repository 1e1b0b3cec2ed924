"""Load as ascending whole microseconds, from the arrival processes that `dilu load` drives real servers with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

from dilu.errors import ConfigError
from dilu.load.arrivals import Arrivals, RateArrivals
from dilu.load.traces import check_scale, parse_rates, read_lines, read_trace
from dilu_simulator.event_queue import US_PER_S

SPACINGS = {"even": 0.0, "poisson": 1.0}
FORMATS = ("rps", "times")


def read_workload(path: str | Path, *, workload_format: str, scale: float, spacing: str) -> Arrivals:
    """Read the load of a file: one rate per line (`rps`), or arrival times (`times`, .csv or .jsonl)."""
    path = Path(path)
    if workload_format == "rps":
        check_scale(scale)
        return RateArrivals(segments=parse_rates(read_lines(path), str(path), scale=scale), cv=SPACINGS[spacing])
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"{path}: a file of arrival times must end in .csv or .jsonl; rates need the format rps")
    return read_trace(path, scale=scale)


def arrivals_us(arrivals: Arrivals, rng: Random) -> Iterator[int]:
    """Yield the due times in microseconds, drawn as they are needed."""
    for at_s in arrivals.times_s(rng):
        yield int(at_s * US_PER_S)
