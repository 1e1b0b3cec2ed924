"""What a preset makes, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dilu_simulator.evaluation.comparisons import Comparison
from dilu_simulator.evaluation.figures import Figure
from dilu_simulator.evaluation.tables import Table
from dilu_simulator.evaluation.tasks import TaskRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the person who evaluates chose."""

    seeds: tuple[int, ...]
    traces: Path | None = None
    """The folder of the published traces."""
    is_quick: bool = False
    """Short runs, to see that it works; the numbers say nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One experiment."""

    name: str
    title: str
    about: str
    """Set-up and what to make of it, as Markdown."""
    tables: tuple[Table, ...]
    comparisons: tuple[Comparison, ...] = ()
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One of the paper's experiments."""

    name: str
    summary: str
    needs_traces: bool
    evaluate: Callable[[Settings, TaskRunner], Report]
