"""A table as plain values, and how a number looks in one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dilu_simulator.evaluation.intervals import Estimate
from dilu_simulator.evaluation.paper_values import PaperValue

Cell = str | int | float | Estimate | PaperValue | None
"""None: there is no such number."""


class Shown(StrEnum):
    """What a column's numbers are."""

    TEXT = "text"
    COUNT = "count"
    SECONDS = "seconds"
    MS = "ms"
    TIMES = "times"
    """A factor."""
    PERCENT = "percent"
    """A ratio of 0..1 as a percentage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column."""

    name: str
    """For machines."""
    title: str
    shown: Shown = Shown.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of cells under columns."""

    name: str
    """For files."""
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """Markdown; it stands below the table."""

    def __post_init__(self) -> None:
        assert all(len(row) == len(self.columns) for row in self.rows), f"{self.name}: a row has not one cell a column"


NOTHING: Final = "–"
_FORMATS: Final[Mapping[Shown, Callable[[float], str]]] = {
    Shown.COUNT: lambda value: f"{value:,.0f}" if value == round(value) else f"{value:,.1f}",
    Shown.SECONDS: lambda value: f"{value:,.0f}",
    Shown.MS: lambda value: f"{value:,.1f}" if abs(value) < 1000 else f"{value:,.0f}",
    Shown.TIMES: lambda value: f"{value:,.2f}" if abs(value) < 100 else f"{value:,.0f}",
    Shown.PERCENT: lambda value: f"{100 * value:.2f}",
    Shown.TEXT: str,
}
_UNITS: Final[Mapping[Shown, str]] = {Shown.PERCENT: " %", Shown.TIMES: "×"}


def text(cell: Cell, shown: Shown) -> str:
    """Return the cell as shown to people.

    >>> text(Estimate(mean=0.0615, half_width=0.002), Shown.PERCENT), text(None, Shown.MS)
    ('6.15 ± 0.20 %', '–')
    """
    if cell is None:
        return NOTHING
    if isinstance(cell, str):
        return cell
    number, unit = _FORMATS[shown], _UNITS.get(shown, "")
    if isinstance(cell, Estimate):
        if not cell.half_width:
            return number(cell.mean) + unit
        if shown is Shown.COUNT:
            return f"{cell.mean:,.1f} ± {cell.half_width:,.1f}"
        return f"{number(cell.mean)} ± {number(cell.half_width)}{unit}"
    if isinstance(cell, PaperValue):
        if cell.low == cell.high:
            return number(cell.low) + unit
        return f"{number(cell.low)} to {number(cell.high)}{unit}"
    return number(cell) + unit
