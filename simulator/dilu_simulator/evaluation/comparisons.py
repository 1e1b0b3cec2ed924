"""Our number against a printed one, and whether it is reached."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from dilu_simulator.evaluation.intervals import Estimate
from dilu_simulator.evaluation.paper_values import PaperValue
from dilu_simulator.evaluation.tables import Cell, Column, Shown, Table, text


class Better(StrEnum):
    """Which way a number is good."""

    LOWER = "lower"
    HIGHER = "higher"
    EQUAL = "equal"
    """It should be reproduced."""


class Basis(StrEnum):
    """What a number of ours says about the paper's."""

    FITTED = "fitted"
    """Constants that the paper does not print were chosen so that it comes out."""
    PREDICTED = "predicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One printed number and ours."""

    claim: str
    policy: str
    ours: Estimate | None
    paper: PaperValue
    shown: Shown
    better: Better
    basis: Basis = Basis.PREDICTED
    why: str = ""
    """What is known of the reason, where it is not reached."""

    @property
    def verdict(self) -> str:
        """`reached`, `within the interval` (the mean does not, its interval does), or `not reached`."""
        if self.ours is None:
            return "no value"
        if self._holds(self.ours.mean, self.ours.mean):
            return "reached"
        return "within the interval" if self._holds(self.ours.low, self.ours.high) else "not reached"

    def _holds(self, low: float, high: float) -> bool:
        slack = 1e-9
        if self.better is Better.LOWER:
            return low <= self.paper.high + slack
        if self.better is Better.HIGHER:
            return high >= self.paper.low - slack
        return low <= self.paper.high + slack and high >= self.paper.low - slack


def comparison_table(name: str, comparisons: tuple[Comparison, ...]) -> Table:
    """All of them, one a row, and what is known of those that are not reached."""
    return Table(
        name=name,
        title="Against the paper's printed numbers",
        columns=(
            Column(name="claim", title="what"),
            Column(name="where", title="printed in"),
            Column(name="paper", title="paper"),
            Column(name="policy", title="of"),
            Column(name="ours", title="ours"),
            Column(name="basis", title="basis"),
            Column(name="verdict", title="verdict"),
        ),
        rows=tuple(_row(comparison) for comparison in comparisons),
        note=_reasons(comparisons),
    )


def _row(comparison: Comparison) -> tuple[Cell, ...]:
    return (
        comparison.claim,
        comparison.paper.where,
        text(comparison.paper, comparison.shown),
        comparison.policy,
        text(comparison.ours, comparison.shown),
        comparison.basis,
        comparison.verdict,
    )


def _reasons(comparisons: tuple[Comparison, ...]) -> str:
    """Return a Markdown list: each reason once, with the numbers that it explains."""
    by_reason: dict[str, list[str]] = {}
    for comparison in comparisons:
        if comparison.why and comparison.verdict != "reached":
            by_reason.setdefault(comparison.why, []).append(f"{comparison.claim} ({comparison.policy})")
    return "\n".join(f"* *{'; '.join(claims)}*: {why}." for why, claims in by_reason.items())
