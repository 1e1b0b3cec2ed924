"""Write docs/benchmarks.md and the README's headline numbers from benchmarks/results/*.json.

`python tools/write_benchmarks.py`; a test fails where either is not what the results say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
_MARKED = re.compile(r"(<!-- headline: begin -->\n).*?(<!-- headline: end -->)", re.DOTALL)
_MORE_IS_BETTER = {"rps", "chunks/s", "a second of one core", "passed", "streams", "items", "per s"}
# What a figure is held against as a bound that no server can pass, or that is Dilu itself: no competitor.
_LIMITS = {"bare", "bare server", "kernel", "model", "own peak", "plain", "plain text", "a quarter of the time"}
_TOLERANCE = 0.01  # closer than this to a peer counts as equal


@dataclass(frozen=True, slots=True)
class Headline:
    """One of the README's numbers: which row it is, and how the row reads there."""

    benchmark: str
    metric: str
    peer: str
    what: str
    peer_name: str


HEADLINES = (
    Headline("sdk_batching", "rate, both cores", "kernel", "5 ms kernel, batches of up to 32", "the kernel alone"),
    Headline("sdk_echo", "sync c=16", "fastapi sync", "JSON echo by a sync handler, 16 clients", "FastAPI"),
    Headline("admission", "goodput at 3 x", "own peak", "answers in time at three times the capacity", "the peak"),
    Headline("cold_start", "0 to the first answer", "bare", "from zero to the first embedding", "plain torch script"),
    Headline(
        "knative_autoscaler",
        "CPU at rest, 1,000 revisions × 3 pods",
        "Knative's own",
        "autoscaler's CPU, 1,000 idle revisions × 3 pods",
        "Knative's",
    ),
)
INTRODUCTION = """# Benchmarks

Every figure here is a row of a file in [`benchmarks/results/`](../benchmarks/results/), measured beside its peer in
the same run. [`benchmarks/README.md`](../benchmarks/README.md) says how each script measures and how to run it.
`tools/write_benchmarks.py` writes this page; a test compares it with the results. No figure is of a GPU, and those of
`policy_quality`, `adversarial` and `simulator` are simulated.

A ratio is our figure over the peer's. In the tables **behind** marks a row in which a peer is better by more than 1 %;
*limit* marks a peer that is a bound rather than a competitor, such as the bare server below the SDK.

"""


def load_results() -> dict[str, dict[str, Any]]:
    """Return the published results by name."""
    paths = (path for path in sorted(RESULTS.glob("*.json")) if not path.name.endswith(".quick.json"))
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def document(results: dict[str, dict[str, Any]]) -> str:
    """Return docs/benchmarks.md."""
    parts = [INTRODUCTION, "## Behind a peer, or a goal that is not met\n\n", _HEAD_WITH_NAME]
    for name, result in results.items():
        rows = [row for row in result["rows"] if is_behind(row) or row.get("met") is False]
        parts += [f"| {name} {_cells(row)}" for row in rows]
    for name, result in results.items():
        parts.append(f"\n## {name}\n\n{_conditions(result)}\n\n{_HEAD}")
        parts += [_cells(row) for row in result["rows"]]
    return "".join(parts)


def is_behind(row: dict[str, Any]) -> bool:
    """Return whether a competitor's figure is better by more than the tolerance."""
    ratio, peer = row.get("ratio"), row.get("peer")
    if ratio is None or peer is None or peer in _LIMITS:
        return False
    if row["unit"] in _MORE_IS_BETTER:
        return bool(ratio < 1 - _TOLERANCE)
    # A ratio below 0 has figures on both sides of it, as where a peer's added time is below the noise.
    return bool(ratio > 1 + _TOLERANCE or (ratio < 0 and row["value"] > 0))


def with_headlines(readme: str, results: dict[str, dict[str, Any]]) -> str:
    """Return the README with its headline numbers as the results have them."""
    lines = "| what | Dilu | beside |\n|---|---|---|\n" + "".join(_headlines(results))
    return _MARKED.sub(lambda match: f"{match[1]}{lines}{match[2]}", readme)


def _headlines(results: dict[str, dict[str, Any]]) -> Iterator[str]:
    for headline in HEADLINES:
        rows = results[headline.benchmark]["rows"]
        (row,) = (row for row in rows if (row["metric"], row["peer"]) == (headline.metric, headline.peer))
        ours, theirs = (f"{_number(row[key], digits=3)} {_unit(row['unit'])}" for key in ("value", "peer_value"))
        quick = " (quick run)" if results[headline.benchmark]["quick"] else ""
        yield f"| {headline.what}{quick} | {ours} | {headline.peer_name} {theirs}: {row['ratio']:.2f} × |\n"


_HEAD = "| figure | ours | peer | its figure | ratio | goal |\n|---|---|---|---|---|---|\n"
_HEAD_WITH_NAME = "| benchmark | figure | ours | peer | its figure | ratio | goal |\n|---|---|---|---|---|---|---|\n"


def _conditions(result: dict[str, Any]) -> str:
    machine = result["machine"]
    told = [
        machine["date_utc"][:10],
        f"{machine['cores']} cores, {machine['cpu']}",
        f"load at the start {machine['load_average_at_start']:g}",
    ]
    if machine.get("commit"):
        told.append(f"commit {machine['commit'][:12]}")
    if result["quick"]:
        told.append("**a quick run**")
    return "; ".join(told) + "."


def _cells(row: dict[str, Any]) -> str:
    unit = _unit(row["unit"])
    peer, goal = row.get("peer") or "", row.get("goal") or ""
    if peer in _LIMITS:
        peer = f"{peer} (*limit*)"
    theirs = "" if row.get("peer_value") is None else f"{_number(row['peer_value'])} {unit}"
    ratio = "" if row.get("ratio") is None else f"{row['ratio']:.3g} ×"
    if is_behind(row):
        ratio += ", **behind**"
    if goal:
        goal = f"{goal}: {'met' if row['met'] else '**not met**'}"
    ours = "none" if row["value"] is None else f"{_number(row['value'])} {unit}"
    return f"| {row['metric'].replace('_', ' ')} | {ours} | {peer} | {theirs} | {ratio} | {goal} |\n"


def _unit(unit: str) -> str:
    return {"us": "µs", "rps": "requests/s", "replica_s": "replica s", "violations_percent": "%"}.get(
        unit, unit.replace("_", " ")
    )


def _number(value: float, digits: int = 4) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def main() -> None:
    """Write both documents."""
    results = load_results()
    DOCUMENT.write_text(document(results), encoding="utf-8")
    README.write_text(with_headlines(README.read_text(encoding="utf-8"), results), encoding="utf-8")


if __name__ == "__main__":
    main()
