"""How long it takes until replicas that are not needed are needed again, as a histogram that forgets, and what that
says about how long to keep them.

Before any gap was seen they are assumed heavy-tailed: the longer one has lasted, the longer it will last.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import lru_cache
from typing import Final

Gaps = tuple[float, ...]
"""Weight of each length of gap; the last one has no upper edge."""

EDGES_S: Final = (3, 5, 8, 12, 16, 20, 25, 31, 38, 46, 60, 80, 110)
_MIDDLES_S: Final = (1.5, 4.0, 6.5, 10.0, 14.0, 18.0, 22.5, 28.0, 34.5, 42.0, 53.0, 70.0, 95.0, 160.0)
NO_GAPS: Final[Gaps] = (0.0,) * (len(EDGES_S) + 1)
_KEEPS_S: Final = (2, *EDGES_S)
"""For how long a replica may be kept: up to the lower edge of each length."""
_PLACES: Final = tuple(zip(_KEEPS_S, _MIDDLES_S, strict=True))


@lru_cache(maxsize=16)
def assumed_gaps(scale_s: float, shape: float, weight: float) -> Gaps:
    """Return the gaps assumed at first: P(longer than t) = (1 + t / scale) ** -shape, weighing as `weight` seen ones.

    >>> [round(part, 2) for part in assumed_gaps(25.0, 1.2, 1.0)[:4]]
    [0.13, 0.07, 0.09, 0.09]
    """
    longer = [(1.0 + edge / scale_s) ** -shape for edge in (0, *EDGES_S)] + [0.0]
    return tuple([weight * (longer[at] - longer[at + 1]) for at in range(len(EDGES_S) + 1)])


def gaps_with(gaps: Gaps, length_s: float, memory_ratio: float) -> Gaps:
    """Return the gaps with one more that ended; each earlier one weighs `memory_ratio` times what it weighed."""
    at = bisect_left(EDGES_S, length_s)
    faded = [memory_ratio * part for part in gaps]
    faded[at] += 1.0
    return tuple(faded)


def best_keep_s(gaps: Gaps, *, second_price: float, return_price: float) -> int:
    """For how long to keep what is not needed, so that it costs least on average.

    A kept second costs `second_price`; a gap that outlasts the keeping costs `return_price` when it ends. One number,
    not a question of each second: so longer gaps never mean that more is kept.

    >>> always_short = gaps_with(NO_GAPS, 10.0, 1.0)
    >>> best_keep_s(always_short, second_price=1.0, return_price=15.0)
    12
    >>> best_keep_s(always_short, second_price=1.0, return_price=5.0)
    2
    """
    ended, longer, best, best_s = 0.0, sum(gaps), float("inf"), 0
    for (keep_s, middle_s), part in zip(_PLACES, gaps, strict=True):
        cost = ended * second_price + longer * (second_price * keep_s + return_price)
        if cost < best:
            best, best_s = cost, keep_s
        ended += part * middle_s
        longer -= part
    return best_s
