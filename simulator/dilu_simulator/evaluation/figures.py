"""A picture as plain values: what is drawn, not how."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dilu_simulator.evaluation.intervals import Estimate

PAPER = "paper"
"""The label of what the paper prints: drawn alike everywhere."""


class Mark(StrEnum):
    """How a series is drawn."""

    BARS = "bars"
    LINE = "line"
    POINTS = "points"
    STEPS = "steps"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One colour. None in `y`: there is no value."""

    label: str
    x: tuple[float | str | Estimate, ...]
    y: tuple[Estimate | None, ...]
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes."""

    title: str
    y_label: str
    series: tuple[Series, ...]
    x_label: str = ""
    is_logarithmic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Panels beside each other."""

    name: str
    """For files."""
    caption: str
    panels: tuple[Panel, ...]
