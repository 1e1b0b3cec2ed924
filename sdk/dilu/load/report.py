"""The report of a run: percentiles, rates, failures, SLO attainment and warnings.

Percentiles are nearest-rank: the p99 of n requests is the ⌈0.99 n⌉-th smallest latency, a measured value. They cover
requests that succeeded (a complete answer, 2xx). Failures are counted by kind, and count as missed for the objective.
Requests that were interrupted by the end of the run count as missed if they were late by then, and otherwise not at
all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass

from dilu.load.results import LoadResult, Record

PERCENTILES = (50, 90, 95, 99)
# A generator that is later than this in one of a hundred requests distorts the measurement.
_LATE_MS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Statistics of a set of times, in milliseconds."""

    mean: float
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SloAttainment:
    """The number of requests that met or missed the objective; failures are missed."""

    slo_ms: float
    met: int
    missed: int
    attainment_ratio: float | None  # None: no request counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The summary of one run; `to_json` is its form for programs."""

    url: str
    method: str
    seed: int
    started_unix_s: float
    duration_s: float  # of the arrivals; until the end if the run was ended early
    elapsed_s: float  # to the end of the arrivals and of the last request
    scheduled: int
    ok: int
    failed: int
    interrupted: int
    offered_rps: float | None  # None: no time passed
    achieved_rps: float | None  # successes over elapsed or duration, whichever is longer
    latency_ms: Spread | None  # from the time due; None: no request succeeded
    service_ms: Spread | None  # from the time sent
    send_lag_ms: Spread | None  # from due to sent; of all that were sent
    status: dict[str, int]
    errors: dict[str, int]
    slo: SloAttainment | None
    stopped: bool
    warnings: tuple[str, ...]
    percentile_method: str = "nearest-rank"

    def to_json(self) -> str:
        """Return one JSON object on one line, with numbers to six decimals."""
        return json.dumps(_rounded(asdict(self)))


def summarize(result: LoadResult) -> Summary:
    """Return the summary of a run."""
    records = result.records
    succeeded = [record for record in records if record.ok]
    interrupted = sum(record.interrupted for record in records)
    duration_s = result.plan.arrivals.duration_s
    if result.stopped:
        duration_s = min(duration_s, result.elapsed_s)
    lag = spread([record.lag_s for record in records if record.sent_s is not None])
    errors = count_errors(records)
    return Summary(
        url=result.plan.url,
        method=result.plan.verb,
        seed=result.plan.seed,
        started_unix_s=result.started_unix_s,
        duration_s=duration_s,
        elapsed_s=result.elapsed_s,
        scheduled=len(records),
        ok=len(succeeded),
        failed=len(records) - len(succeeded) - interrupted,
        interrupted=interrupted,
        offered_rps=_per_second(len(records), duration_s),
        achieved_rps=_per_second(len(succeeded), max(duration_s, result.elapsed_s)),
        latency_ms=spread([record.latency_s for record in succeeded]),
        service_ms=spread([record.service_s for record in succeeded]),
        send_lag_ms=lag,
        status=_counted(str(record.status) for record in records if record.status is not None),
        errors=errors,
        slo=attainment(records, result.plan.slo_ms) if result.plan.slo_ms is not None else None,
        stopped=result.stopped,
        warnings=tuple(_warnings(result, lag, errors)),
    )


def spread(times_s: Sequence[float]) -> Spread | None:
    """Return mean, percentiles and maximum in milliseconds; None without times."""
    if not times_s:
        return None
    ordered = sorted(times_s)
    p50, p90, p95, p99 = (1000.0 * percentile(ordered, percent) for percent in PERCENTILES)
    mean = 1000.0 * sum(ordered) / len(ordered)
    return Spread(mean=mean, p50=p50, p90=p90, p95=p95, p99=p99, max=1000.0 * ordered[-1])


def percentile(ordered: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile (1 to 100) of values in ascending order.

    >>> percentile([10.0, 20.0, 30.0, 40.0], 50), percentile([10.0, 20.0, 30.0, 40.0], 51)
    (20.0, 30.0)
    """
    return ordered[-(-percent * len(ordered) // 100) - 1]  # integer arithmetic: 0.95 x 20 must not become 19.000…1


def attainment(records: Iterable[Record], slo_ms: float) -> SloAttainment:
    """Count the requests that met and missed `slo_ms`, from the time they were due."""
    met = missed = 0
    for record in records:
        late = 1000.0 * record.latency_s > slo_ms
        met += record.ok and not late
        missed += late or not (record.ok or record.interrupted)
    return SloAttainment(
        slo_ms=slo_ms, met=met, missed=missed, attainment_ratio=met / (met + missed) if met + missed else None
    )


def count_errors(records: Iterable[Record]) -> dict[str, int]:
    """Count failures by kind, the most frequent first; an answer other than 2xx is `http-` and its status."""
    return _counted(
        record.error or f"http-{record.status}" for record in records if not record.ok and not record.interrupted
    )


def _counted(words: Iterable[str]) -> dict[str, int]:
    counts = Counter(words)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _per_second(count: int, duration_s: float) -> float | None:
    return count / duration_s if duration_s > 0.0 else None


def _warnings(result: LoadResult, lag: Spread | None, errors: dict[str, int]) -> Iterator[str]:
    """Yield the warnings that a reader of the report needs."""
    if not result.records:
        yield "no request was due in this time; use a higher rate or a longer duration"
    waited, limit = result.slot_waits, result.plan.max_in_flight
    if waited:
        yield (
            f"{waited} requests waited because {limit} were in flight already (--max-in-flight); "
            "their latency includes that wait"
        )
    if lag is not None and lag.p99 > _LATE_MS and 100 * waited < len(result.records):
        yield f"the generator itself was late, send lag p99 {lag.p99:.1f} ms; the latency includes it"
    if timeouts := errors.get("timeout"):
        yield f"{timeouts} requests timed out after {result.plan.timeout_s:g} s; the percentiles exclude them"
    if "open-files" in errors:
        yield "this machine ran out of open files (`ulimit -n`); these failures are not the server's"
    if "local-ports" in errors:
        yield "this machine ran out of local ports; these failures are not the server's"
