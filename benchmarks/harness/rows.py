"""Rows of a result: a figure, its peer's, the goal, and how far the repeats lie apart."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Final

from harness.goals import Goal

# Of these units more is better; of all others, times and sizes and counts of what went wrong, less is.
_MORE_IS_BETTER: Final = frozenset(
    {"rps", "per s", "chunks/s", "items", "passed", "streams", "a second of one core", "events a second"}
)

Figure = float | Sequence[float] | None


def row(
    metric: str,
    value: Figure,
    unit: str,
    *,
    peer: str | None = None,
    peer_value: Figure = None,
    goal: str | None = None,
    tolerance: float = 0.0,
) -> dict[str, object]:
    """Return one line of a result.

    A figure is a number, or the numbers of all repeats: then the row holds their median and their spread. `goal` reads
    "ratio >= 2" or "value <= 100" and may be missed by `tolerance`, a fraction of its limit. Whether it is met is
    decided by the medians; the spread says in how many repeats it was met.
    """
    repeats, peer_repeats = _repeats(value), _repeats(peer_value)
    middle, peer_middle = _median(repeats), _median(peer_repeats)
    ratio = _ratio(middle, peer_middle)
    parsed = None if goal is None else Goal.parse(goal, tolerance=tolerance)
    return {
        "metric": metric,
        "value": rounded(middle),
        "unit": unit,
        "peer": peer,
        "peer_value": rounded(peer_middle),
        "ratio": rounded(ratio),
        "goal": goal,
        "tolerance": tolerance if goal is not None else None,
        "met": None if parsed is None else parsed.is_met(value=middle, ratio=ratio),
        "better": better(unit),
        "spread": _spread(repeats, peer_repeats, parsed),
    }


def better(unit: str) -> str:
    """Return "more" or "less": which of two figures of this unit is the better one."""
    return "more" if unit in _MORE_IS_BETTER else "less"


def rounded(value: float | None) -> float | None:
    """Return four significant digits: more would claim what no repeat confirms. NaN and infinity become None."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def _repeats(value: Figure) -> list[float]:
    if value is None:
        return []
    return [value] if isinstance(value, int | float) else list(value)


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _ratio(value: float | None, peer_value: float | None) -> float | None:
    """Return None unless both have a sign that allows it: a difference may be below zero."""
    if value is None or peer_value is None or value < 0 or peer_value <= 0:
        return None
    return value / peer_value


def _spread(repeats: Sequence[float], peers: Sequence[float], goal: Goal | None) -> dict[str, object] | None:
    """Return smallest and largest of the repeats; None of a figure that was taken once."""
    if len(repeats) < 2:
        return None
    # Repeats take turns, so the n-th of ours and the n-th of the peer saw the same machine.
    beside = peers if len(peers) == len(repeats) else [_median(peers)] * len(repeats)
    met = [] if goal is None else [
        goal.is_met(value=one, ratio=_ratio(one, other)) for one, other in zip(repeats, beside, strict=True)
    ]  # fmt: skip
    return {
        "repeats": len(repeats),
        "min": rounded(min(repeats)),
        "max": rounded(max(repeats)),
        "peer_min": rounded(min(peers, default=None)),
        "peer_max": rounded(max(peers, default=None)),
        "met": None if goal is None else sum(met),
    }
