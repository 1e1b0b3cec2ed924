"""All kept results as Markdown: every row with its peer, the rows in which ours is worse first."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from harness.machine import ROOT
from harness.results import RESULTS
from harness.rows import better, rounded
from harness.start import MAX_LOAD_AT_START

PAGE: Final = ROOT / "docs" / "benchmarks.md"
_BEGIN, _END = "<!-- table -->\n", "<!-- end of table -->\n"
# Differences up to this fraction are called the same.
_SAME: Final = 0.02
# What ours cannot be better than, or itself under other conditions: shown beside it, but no competitor.
_LIMITS: Final = frozenset(
    {"bare", "bare server", "kernel", "model", "own peak", "plain", "plain text", "a quarter of the time"}
)
_NOTE: Final = f"""\
Generated from `benchmarks/results/` by `python benchmarks/run_all.py --table`. A figure is the median of its repeats,
with the smallest and the largest in brackets where they were kept. *same* is a difference of at most {_SAME:.0%}.
A limit is a peer that ours cannot beat: the bare server, the time of the kernel, the plain route. Goals are judged by
the medians; where a goal was not met in each repeat, the count is shown."""

Result = dict[str, Any]


def write_table() -> Path:
    """Put the table between the marks of docs/benchmarks.md; return the page's path."""
    PAGE.write_text(between_marks(PAGE.read_text(), render_table(kept_results())))
    return PAGE


def between_marks(page: str, table: str) -> str:
    """Return the page with the table between its marks; a page without marks gets them at its end."""
    before, begin, rest = page.partition(_BEGIN)
    if not begin:
        return f"{page.rstrip()}\n\n{_BEGIN}{table}{_END}"
    return f"{before}{_BEGIN}{table}{_END}{rest.partition(_END)[2]}"


def kept_results() -> list[Result]:
    """Return the published results, in the order of their names."""
    paths = sorted(path for path in RESULTS.glob("*.json") if "." not in path.stem)
    return [json.loads(path.read_text()) for path in paths]


def render_table(results: Sequence[Result]) -> str:
    """Return all rows of all results as Markdown."""
    rows = [(result["name"], row) for result in results for row in result["rows"]]
    worse = [(name, row) for name, row in rows if verdict(row) == "worse" and row["peer"] not in _LIMITS]
    missed = [(name, row) for name, row in rows if row["met"] is False]
    parts = [_NOTE, "", "### Where ours is worse than a peer", "", *_lines(worse, named=True)]
    parts += ["", "### Goals that are not met", "", *_lines(missed, named=True)]
    for result in results:
        parts += ["", f"### `{result['name']}`", "", conditions(result), ""]
        parts += _lines(((result["name"], row) for row in result["rows"]), named=False)
    return "\n".join(parts) + "\n"


def conditions(result: Result) -> str:
    """Return one sentence on how a result was measured, with a warning if it is not to be relied on."""
    machine = result["machine"]
    load = machine["load_average_at_start"]
    commit = result.get("commit")
    where = (
        f"commit `{commit[:12]}`{' with local changes' if result['dirty'] else ''}" if commit else "no commit recorded"
    )
    text = (
        f"{machine['date_utc'][:10]}, {machine['cpu']}, {machine['cores']} cores, {where}, load {load:g} at the start."
    )
    if result["quick"]:
        return f"**Quick run, not for publishing.** {text}"
    if load > MAX_LOAD_AT_START:
        return f"**The machine was not at rest.** {text}"
    return text


def verdict(row: Result) -> str:
    """Return "better", "same" or "worse" than the peer; "" without one."""
    value, peer = row["value"], row["peer_value"]
    if value is None or peer is None:
        return ""
    if abs(value - peer) <= _SAME * abs(peer):
        return "same"
    return "better" if (value > peer) == (better(row["unit"]) == "more") else "worse"


def _lines(rows: Iterable[tuple[str, Result]], *, named: bool) -> list[str]:
    lines = [_line(name, row, named=named) for name, row in rows]
    head = f"| {'benchmark | ' if named else ''}what | ours | beside | theirs | ratio | | goal |"
    return [head, "|---" * head.count(" |") + "|", *lines] if lines else ["None."]


def _line(name: str, row: Result, *, named: bool) -> str:
    spread = row.get("spread") or {}
    peer = row["peer"] or ""
    if peer in _LIMITS:
        peer += " (limit)"
    ratio = "" if row["ratio"] is None or row["ratio"] < 0 else f"{row['ratio']:.3g} ×"
    judged = verdict(row)
    cells = [
        row["metric"],
        _figure(row["value"], row["unit"], spread.get("min"), spread.get("max")),
        peer,
        _figure(row["peer_value"], row["unit"], spread.get("peer_min"), spread.get("peer_max")),
        ratio,
        f"**{judged}**" if judged == "worse" and row["peer"] not in _LIMITS else judged,
        _goal(row, spread),
    ]
    return "| " + " | ".join([f"`{name}`", *cells] if named else cells) + " |"


def _figure(value: float | None, unit: str, smallest: float | None, largest: float | None) -> str:
    if value is None:
        return ""
    text = f"{_number(value)} {unit}"
    return text if smallest is None or largest is None else f"{text} ({_number(smallest)} to {_number(largest)})"


def _number(value: float) -> str:
    shown = rounded(value)
    return "" if shown is None else f"{shown:,.0f}" if abs(shown) >= 1000 else f"{shown:g}"


def _goal(row: Result, spread: Result) -> str:
    if row["goal"] is None:
        return ""
    tolerance = f", {row['tolerance']:.0%} tolerance" if row.get("tolerance") else ""
    met = "met" if row["met"] else "**not met**"
    counted = spread.get("met")
    repeats = (
        f" (in {counted} of {spread['repeats']} repeats)" if counted not in (None, 0, spread.get("repeats")) else ""
    )
    return f"{row['goal']}{tolerance}: {met}{repeats}"
