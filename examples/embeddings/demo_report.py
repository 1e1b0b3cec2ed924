"""What the demo measured: a table, a closing line and a plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from dilu.load import LoadResult, summarize
from dilu.load.results import Record

_TOO_MANY_REQUESTS = 429
_TITLES = ("requests", "refused", "errors", "p50 ms", "p95 ms", "p99 ms", "SLO met")
_COLOURS = {"in time": "tab:blue", "late": "tab:orange", "refused": "tab:red", "error": "black"}


@dataclass(frozen=True, slots=True)
class Phase:
    """One part of the load and what became of it."""

    name: str
    result: LoadResult


def outcome(record: Record, slo_ms: float) -> str:
    """Return "in time", "late", "refused" (429: it would have been late, and was not executed) or "error"."""
    if record.status == _TOO_MANY_REQUESTS:
        return "refused"
    if not record.ok:
        return "error"
    return "in time" if 1000 * record.latency_s <= slo_ms else "late"


def closing_line(records: Sequence[Record], ready: Iterable[int], slo_ms: float) -> str:
    """Return what was met: the shares in time and refused, and the replicas that were used."""
    outcomes = [outcome(record, slo_ms) for record in records]
    counted = [
        f"{outcomes.count(kind):,} {text} ({100 * outcomes.count(kind) / len(outcomes):.1f} %)"
        for kind, text in (
            ("in time", f"of {len(outcomes):,} requests answered within {slo_ms:.0f} ms"),
            ("late", "late"),
            ("refused", "refused at once, as they would have been late"),
            ("error", "errors"),
        )
    ]
    path = " -> ".join(str(count) for count, _ in groupby([0, *ready]))
    return f"{', '.join(counted)}; replicas {path}"


def print_report(phases: Sequence[Phase], samples: Sequence[dict[str, Any]], slo_ms: float, out: Path) -> None:
    """Print the table and the closing line, and write the plot to `out`."""
    click.echo()
    click.echo(f"{'phase':8}" + "".join(f"{title:>9}" for title in _TITLES))
    for phase in phases:
        click.echo(f"{phase.name:8}" + "".join(f"{cell:>9}" for cell in _cells(phase.result, slo_ms)))
    records = [record for phase in phases for record in phase.result.records]
    click.echo(f"\n{closing_line(records, [sample['ready'] for sample in samples], slo_ms)}")
    last = samples[-1]
    cold = ", ".join(f"{start['total_s']:.1f} s" for start in last["cold_starts"])
    click.echo(f"{len(last['cold_starts'])} cold starts ({cold}); {last['replica_seconds']:.0f} replica-seconds")
    after = _after_scaling_out(phases[-1].result, samples, slo_ms)
    if after is not None:
        click.echo(f"burst, from the moment the second replica was ready: {100 * after:.1f} % within the objective")
    _plot(phases, samples, slo_ms, out / "demo.png")


def _cells(result: LoadResult, slo_ms: float) -> list[str]:
    summary = summarize(result)
    times = summary.latency_ms
    percentiles = ["-"] * 3 if times is None else [f"{value:.0f}" for value in (times.p50, times.p95, times.p99)]
    outcomes = [outcome(record, slo_ms) for record in result.records]
    met = f"{100 * outcomes.count('in time') / len(outcomes):.1f} %"
    return [str(len(outcomes)), str(outcomes.count("refused")), str(outcomes.count("error")), *percentiles, met]


def _after_scaling_out(burst: LoadResult, samples: Sequence[dict[str, Any]], slo_ms: float) -> float | None:
    """Return the share in time of the requests due after the second replica was ready; None if it never was."""
    ready = [sample["unix_s"] for sample in samples if sample["ready"] >= 2]
    if not ready:
        return None
    since_s = ready[0] - burst.started_unix_s
    outcomes = [outcome(record, slo_ms) for record in burst.records if record.due_s >= since_s]
    return outcomes.count("in time") / len(outcomes) if outcomes else None


def _plot(phases: Sequence[Phase], samples: Sequence[dict[str, Any]], slo_ms: float, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    start_s = phases[0].result.started_unix_s
    points: dict[str, list[tuple[float, float]]] = {kind: [] for kind in _COLOURS}
    for phase in phases:
        for record in phase.result.records:
            at_s = phase.result.started_unix_s + record.due_s - start_s
            points[outcome(record, slo_ms)].append((at_s, 1000 * record.latency_s))
    shown = {kind: found for kind, found in points.items() if found}
    at = [sample["unix_s"] - start_s for sample in samples]
    figure, (load, replicas, times) = plt.subplots(3, 1, sharex=True, figsize=(10, 8), layout="constrained")
    load.hist(
        [[at_s for at_s, _ in found] for found in shown.values()],
        bins=range(int(max(at)) + 2),
        histtype="stepfilled",
        stacked=True,
        color=[_COLOURS[kind] for kind in shown],
        label=[f"{kind} ({len(found):,})" for kind, found in shown.items()],
    )
    load.set_ylabel("requests per second")
    load.legend(loc="upper right")
    for key, style in (("desired", "--"), ("ready", "-")):
        replicas.step(at, [sample[key] for sample in samples], style, where="post", label=key)
    replicas.set_ylabel("replicas")
    replicas.yaxis.get_major_locator().set_params(integer=True)
    replicas.legend(loc="upper left")
    for kind, found in shown.items():
        marker = "x" if kind in ("refused", "error") else "o"
        times.scatter(*zip(*found, strict=True), s=6, marker=marker, linewidths=0.6, alpha=0.5, color=_COLOURS[kind])
    times.axhline(slo_ms, color="black", linewidth=1, linestyle=":", label=f"objective {slo_ms:.0f} ms")
    times.set_yscale("log")
    times.set_ylabel("time to the answer\nor refusal, ms")
    times.set_xlabel("seconds since the first request")
    times.legend(loc="upper right")
    figure.suptitle("Sentence embeddings (all-MiniLM-L6-v2) on one machine: load, replicas, latency")
    figure.savefig(path, dpi=120)
