"""How long replicas stay unneeded before they are needed again, and how long it pays to keep them."""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

FADE: Final = 0.95
"""Weight of older evidence with each new one: the last twenty or so count."""
ALIKE: Final = 1.6
"""Lengths within this factor are not told apart: a gap may be longer by it than those seen, and still be like them."""
_EDGES_S: Final = tuple([round(2 * ALIKE**step) for step in range(19)])
"""Upper edges of the lengths that are told apart, from 2 s to 2.6 h."""

Gaps = tuple[float, ...]
"""Weight of each length of gap; the last one has no upper edge."""

NO_GAPS: Final[Gaps] = (0.0,) * (len(_EDGES_S) + 1)


def gaps_with(gaps: Gaps, length_s: float) -> Gaps:
    """Return the gaps with one more that has ended."""
    faded = [FADE * weight for weight in gaps]
    faded[bisect_left(_EDGES_S, length_s)] += 1.0
    return tuple(faded)


def keep_s(gaps: Gaps, return_cost_s: float) -> float:
    """Return for how long to keep what is not needed, so that the mean cost is least.

    A kept second costs one replica second, a return after the keeping has ended costs `return_cost_s`. Without any gap
    seen the two are balanced: kept for as long as a return costs, it never costs more than twice the best choice.

    >>> tens = gaps_with(NO_GAPS, 10.0)
    >>> keep_s(NO_GAPS, 30.0), keep_s(tens, 30.0), keep_s(tens, 5.0)
    (30.0, 20.8, 0.0)
    """
    longer = sum(gaps)
    if not longer:
        return return_cost_s
    best_s, best_cost, ended_cost, low_s = 0.0, longer * return_cost_s, 0.0, 0.0
    for edge_s, weight in zip(_EDGES_S, gaps, strict=False):
        ended_cost += weight * (low_s + edge_s) / 2
        longer -= weight
        cost = ended_cost + longer * (ALIKE * edge_s + return_cost_s)
        if cost < best_cost:
            best_s, best_cost = ALIKE * edge_s, cost
        low_s = edge_s
    return best_s
