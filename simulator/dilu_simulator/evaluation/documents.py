"""docs/evaluation.md: definitions, every report, seeds and the way to make it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Final

from dilu.errors import ConfigError
from dilu_simulator.evaluation.plots import draw
from dilu_simulator.evaluation.rendering import as_csv, as_markdown, tables_of
from dilu_simulator.evaluation.reports import Report, Settings
from dilu_simulator.evaluation.tables import Cell, Column, Shown, Table

_SEEDS: Final = """\
## Seeds

{seeds}. Neither they nor the loads that they generate were used while `dilu` was developed. The published traces
were: among settings that did equally well on generated loads, two of them decided.
"""


def document(reports: Sequence[Report], settings: Settings, figures: str | None) -> str:
    """Return the whole document; `figures` is the pictures' folder relative to it, None for no pictures."""
    parts = [(files("dilu_simulator.evaluation") / "definitions.txt").read_text(encoding="utf-8")]
    parts += [
        *(["**These were quick runs: the numbers say nothing.**\n"] if settings.is_quick else []),
        _SEEDS.format(seeds=", ".join(str(seed) for seed in settings.seeds)),
        f"## In short\n\n{as_markdown(_summary(reports))}",
        *(f"## {report.title}\n\n{section(report, figures)}" for report in reports),
    ]
    return "\n".join(parts)


def _summary(reports: Sequence[Report]) -> Table:
    """How many of the printed numbers are reached."""
    verdicts = ("reached", "within the interval", "not reached", "no value")
    rows: list[tuple[Cell, ...]] = []
    for report in reports:
        for policy in dict.fromkeys(comparison.policy for comparison in report.comparisons):
            own = [comparison.verdict for comparison in report.comparisons if comparison.policy == policy]
            rows.append((report.name, policy, *(own.count(verdict) for verdict in verdicts)))
    return Table(
        name="summary",
        title="How many of the paper's printed numbers",
        columns=(
            Column(name="preset", title="preset"),
            Column(name="policy", title="of"),
            *(Column(name=verdict, title=verdict, shown=Shown.COUNT) for verdict in verdicts),
        ),
        rows=tuple(rows),
    )


def section(report: Report, figures: str | None) -> str:
    """One report as Markdown, without its heading."""
    return "\n".join(_section_parts(report, figures))


def _section_parts(report: Report, figures: str | None) -> Iterator[str]:
    yield f"`dilu evaluate {report.name}`\n"
    yield report.about
    yield from map(as_markdown, tables_of(report))
    if figures is not None:
        for figure in report.figures:
            yield f"![{figure.caption}]({figures}/{figure.name}.png)\n\n*{figure.caption}. Bars of error: 95 %.*\n"


def write_document(path: Path, reports: Sequence[Report], settings: Settings, *, with_figures: bool) -> None:
    """Write the document, and its figures into a folder of the same name beside it."""
    folder = path.with_suffix("")
    write_text(path, document(reports, settings, folder.name if with_figures else None))
    if with_figures:
        _draw_all(reports, folder)


def write_reports(folder: Path, reports: Sequence[Report], *, with_figures: bool) -> None:
    """Write NAME.md for each report, a CSV for each table, and a PNG for each figure."""
    for report in reports:
        heading = f"# {report.title}\n\n"
        write_text(folder / f"{report.name}.md", heading + section(report, "." if with_figures else None))
        for table in tables_of(report):
            write_text(folder / f"{table.name}.csv", as_csv(table))
    if with_figures:
        _draw_all(reports, folder)


def write_text(path: Path, content: str) -> None:
    """Write a file with that text and create missing folders."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: {error.strerror}") from error


def _draw_all(reports: Sequence[Report], folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{error.filename or folder}: {error.strerror}") from error
    for report in reports:
        for figure in report.figures:
            draw(figure, folder / f"{figure.name}.png")
