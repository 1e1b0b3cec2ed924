"""Tables on a terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from dilu_simulator.evaluation.comparisons import comparison_table
from dilu_simulator.evaluation.intervals import Estimate
from dilu_simulator.evaluation.paper_values import PaperValue
from dilu_simulator.evaluation.reports import Report
from dilu_simulator.evaluation.tables import Cell, Column, Shown, Table, text


def tables_of(report: Report) -> tuple[Table, ...]:
    """Return the comparison with the paper, then the report's own tables."""
    return (comparison_table(f"{report.name}-against-paper", report.comparisons), *report.tables)


def as_csv(table: Table) -> str:
    """Return the table as CSV: full numbers, ratios as 0..1; intervals and printed ranges in their own columns."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    shapes = [_shape(table, index) for index in range(len(table.columns))]
    writer.writerow(
        [name for column, shape in zip(table.columns, shapes, strict=True) for name in _names(column, shape)]
    )
    for row in table.rows:
        writer.writerow([value for cell, shape in zip(row, shapes, strict=True) for value in _values(cell, shape)])
    return stream.getvalue()


def _shape(table: Table, index: int) -> type[Estimate] | type[PaperValue] | None:
    kinds = {type(row[index]) for row in table.rows}
    return Estimate if Estimate in kinds else PaperValue if PaperValue in kinds else None


def _names(column: Column, shape: type[Estimate] | type[PaperValue] | None) -> list[str]:
    if shape is Estimate:
        return [column.name, f"{column.name}_half_width"]
    return [f"{column.name}_low", f"{column.name}_high"] if shape is PaperValue else [column.name]


def _values(cell: Cell, shape: type[Estimate] | type[PaperValue] | None) -> list[Cell]:
    if isinstance(cell, Estimate):
        return [cell.mean, cell.half_width]
    if isinstance(cell, PaperValue):
        return [cell.low, cell.high]
    return [cell] if shape is None else [cell, None]


def as_markdown(table: Table) -> str:
    """Return the table as Markdown."""
    note = f"\n{table.note}\n" if table.note else ""
    return "\n".join(_markdown_lines(table)) + f"\n{note}"


def _markdown_lines(table: Table) -> Iterator[str]:
    yield f"**{table.title}**\n"
    yield f"| {' | '.join(column.title for column in table.columns)} |"
    yield f"|{'|'.join('---' if column.shown is Shown.TEXT else '---:' for column in table.columns)}|"
    for row in table.rows:
        cells = (text(cell, column.shown) for cell, column in zip(row, table.columns, strict=True))
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def print_table(table: Table) -> None:
    """Return the table for the terminal."""
    from rich.console import Console
    from rich.table import Table as RichTable

    drawn = RichTable(title=table.title, title_justify="left", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for column in table.columns:
        drawn.add_column(column.title, justify="left" if column.shown is Shown.TEXT else "right")
    for row in table.rows:
        drawn.add_row(*(text(cell, column.shown) for cell, column in zip(row, table.columns, strict=True)))
    console = Console()
    console.print(drawn)
    console.print(table.note, markup=False, highlight=False)
