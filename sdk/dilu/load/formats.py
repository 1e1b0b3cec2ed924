"""The report of a run as text, and its records as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterable

from dilu.load.generator import LoadProgress
from dilu.load.report import Spread, Summary
from dilu.load.results import Record

_COLUMNS = ("mean", "p50", "p90", "p95", "p99", "max")


def table(summary: Summary) -> str:
    """Return the summary as plain text."""
    return "\n".join([_head(summary), *_rates(summary), *_times(summary), *_outcomes(summary), *_notes(summary)])


def _head(summary: Summary) -> str:
    return f"{summary.method} {summary.url}, seed {summary.seed}"


def _rates(summary: Summary) -> list[str]:
    counts = f"{summary.scheduled} due, {summary.ok} ok, {summary.failed} failed"
    if summary.interrupted:
        counts += f", {summary.interrupted} cut short"
    rates = [
        f"{rps:.1f} rps {word}"
        for word, rps in (("offered", summary.offered_rps), ("achieved", summary.achieved_rps))
        if rps is not None
    ]
    return [
        _line("requests", counts),
        _line("rate", ", ".join([*rates, f"{summary.elapsed_s:.1f} s"])),
    ]


def _times(summary: Summary) -> list[str]:
    rows = (
        ("latency", summary.latency_ms, "from the time due"),
        ("service", summary.service_ms, "from the time sent"),
        ("send lag", summary.send_lag_ms, ""),
    )
    lines = [_time_line(name, spread, note) for name, spread, note in rows if spread is not None]
    return [_line("ms", "".join(f"{column:>9}" for column in _COLUMNS)), *lines] if lines else []


def _time_line(name: str, spread: Spread, note: str) -> str:
    values = "".join(f"{getattr(spread, column):>9.1f}" for column in _COLUMNS)
    return _line(name, f"{values}  {note}".rstrip())


def _outcomes(summary: Summary) -> list[str]:
    lines = []
    if summary.status:
        lines.append(_line("status", _counts(summary.status)))
    if summary.errors:
        lines.append(_line("errors", _counts(summary.errors)))
    if slo := summary.slo:
        share = "no request counts" if slo.attainment_ratio is None else f"{100 * slo.attainment_ratio:.2f} % met"
        lines.append(_line(f"SLO {slo.slo_ms:g} ms", f"{share} ({slo.met} met, {slo.missed} missed)"))
    return lines


def _notes(summary: Summary) -> list[str]:
    ended = ["ended early: the report covers the time until then"] if summary.stopped else []
    return [f"! {note}" for note in (*ended, *summary.warnings)]


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{word}: {count}" for word, count in counts.items())


def _line(name: str, text: str) -> str:
    return f"{name:<12}{text}"


def progress_line(progress: LoadProgress) -> str:
    """Return the progress of a run in one short line."""
    line = (
        f"{progress.elapsed_s:.0f}/{progress.duration_s:.0f} s  ok {progress.ok}  failed {progress.failed}"
        f"  in flight {progress.in_flight}"
    )
    return f"{line}  behind {progress.behind_s:.1f} s" if progress.behind_s >= 0.1 else line


def record_lines(records: Iterable[Record]) -> Iterable[str]:
    """Yield one JSON object per request."""
    for record in records:
        yield json.dumps(
            {
                "index": record.index,
                "request_id": record.request_id,
                "due_s": round(record.due_s, 6),
                "sent_s": None if record.sent_s is None else round(record.sent_s, 6),
                "finished_s": round(record.finished_s, 6),
                "latency_ms": round(1000.0 * record.latency_s, 3),
                "status": record.status,
                "error": record.error,
                "ok": record.ok,
                "received_bytes": record.received_bytes,
            }
        )
