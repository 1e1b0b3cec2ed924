"""The README's five numbers, as the kept results have them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from harness.machine import ROOT
from harness.tables import Result, kept_results

README: Final = ROOT / "README.md"
_MARKED: Final = re.compile(r"(<!-- headlines -->\n).*?(<!-- end of headlines -->)", re.DOTALL)
_UNITS: Final = {"rps": "requests/s"}


@dataclass(frozen=True, slots=True)
class Headline:
    """Which row of which result, and how the README names it and its peer."""

    benchmark: str
    metric: str
    peer: str
    what: str
    peer_name: str


HEADLINES: Final = (
    Headline("sdk_batching", "rate, both cores", "kernel", "5 ms kernel, batches of up to 32", "the kernel alone"),
    Headline("sdk_echo", "sync c=16", "fastapi sync", "JSON echo by a sync handler, 16 clients", "FastAPI"),
    Headline("admission", "goodput at 3 x", "own peak", "answers in time at three times the capacity", "the peak"),
    Headline("cold_start", "0 to the first answer", "bare", "zero to the first embedding", "a plain torch script"),
    Headline(
        "knative_autoscaler",
        "CPU at rest, 1,000 revisions × 3 pods",
        "Knative's own",
        "CPU of the autoscaler, 1,000 idle revisions × 3 pods",
        "Knative's own",
    ),
)


def write_headlines() -> Path:
    """Put the numbers between the marks of the README; return its path."""
    README.write_text(with_headlines(README.read_text(), kept_results()))
    return README


def with_headlines(readme: str, results: Sequence[Result]) -> str:
    """Return the README with the numbers of the results."""
    table = "| what | Dilu | beside |\n|---|---|---|\n" + "".join(_lines(results))
    return _MARKED.sub(lambda match: f"{match[1]}{table}{match[2]}", readme)


def _lines(results: Sequence[Result]) -> Iterator[str]:
    by_name = {result["name"]: result for result in results}
    for headline in HEADLINES:
        result = by_name[headline.benchmark]
        (row,) = (row for row in result["rows"] if (row["metric"], row["peer"]) == (headline.metric, headline.peer))
        ours, theirs = (_figure(row[key], row["unit"]) for key in ("value", "peer_value"))
        quick = " (quick run)" if result["quick"] else ""
        yield f"| {headline.what}{quick} | {ours} | {headline.peer_name} {theirs}: {row['ratio']:.2f} × |\n"


def _figure(value: float, unit: str) -> str:
    number = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{number} {_UNITS.get(unit, unit)}"
