"""Load by wrk, alternately for all contenders; the median of the repeats."""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeVar

from harness.console import BenchmarkError
from harness.machine import CLIENT_CORE, require_tool

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The figures of a closed-loop load. `errors` counts failed connects, reads, writes and timeouts."""

    rps: float
    p50_us: float
    p90_us: float
    p99_us: float
    max_us: float
    requests: float
    errors: float
    not_2xx: float


_WRK_SCRIPT: Final = """
%s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'wrk-json {"rps": %%.3f, "p50_us": %%.1f, "p90_us": %%.1f, "p99_us": %%.1f, "max_us": %%.1f, ' ..
    '"requests": %%d, "errors": %%d, "not_2xx": %%d}\\n',
    summary.requests * 1e6 / summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max,
    summary.requests, e.connect + e.read + e.write + e.timeout, e.status))
end
"""


def wrk(
    url: str,
    *,
    connections: int,
    seconds: int,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    core: int = CLIENT_CORE,
    timeout_s: int = 5,
) -> Load:
    """Return what wrk measured with one thread: POST of `body` (JSON unless `headers` differ), or GET without one."""
    lines = []
    if body is not None:
        lines += ['wrk.method = "POST"', 'wrk.headers["Content-Type"] = "application/json"']
        lines += [f"wrk.body = {_lua(body.decode())}"]
    lines += [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in (headers or {}).items()]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_WRK_SCRIPT % "\n".join(lines))
        script.flush()
        command = [require_tool("taskset"), "-c", str(core), require_tool("wrk"), "-t1", f"-c{connections}"]
        command += [f"-d{seconds}s", "--timeout", f"{timeout_s}s", "-s", script.name, url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("wrk-json "):
            return Load(**json.loads(line.removeprefix("wrk-json ")))
    raise BenchmarkError(f"wrk gave no result (exit code {done.returncode}): {done.stderr.strip() or done.stdout}")


def _lua(text: str) -> str:
    # JSON's escapes for quotes, backslashes and line breaks are Lua's too; other text passes as UTF-8.
    return json.dumps(text, ensure_ascii=False)


def interleaved(names: Sequence[str], measure: Callable[[str], T], repeats: int) -> dict[str, list[T]]:
    """Measure each name `repeats` times. They alternate, and start with another one each time: drift hits all alike."""
    found: dict[str, list[T]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            found[name].append(measure(name))
    return found


def median_load(loads: Sequence[Load]) -> Load:
    """Return the median of each field; errors and bad answers are summed, so that none is hidden."""
    middle = {item.name: statistics.median(getattr(load, item.name) for load in loads) for item in fields(Load)}
    middle |= {name: sum(getattr(load, name) for load in loads) for name in ("errors", "not_2xx")}
    return Load(**middle)


def median(values: Sequence[float]) -> float:
    """Return the median as a float; raises StatisticsError if there are no values."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of the values do not exceed; NaN of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else math.nan
