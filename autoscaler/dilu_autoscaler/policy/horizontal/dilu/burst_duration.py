"""How long a load above the replicas' throughput lasts, given how long it has lasted: heavy-tailed, so the longer the
longer."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

_EDGES_S: Final = (2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 21, 25, 30, 40, 60, 100)
_MIDDLES_S: Final = (1.0, 2.5, 3.5, 4.5, 5.5, 7.0, 9.0, 11.0, 13.5, 16.5, 19.5, 23.0, 27.5, 35.0, 50.0, 80.0, 150.0)
MAX_S: Final = 150
"""Nothing is known of what lasts longer."""


class Outlook(NamedTuple):
    """Of a burst that lasts now, on average."""

    rest_s: float
    """How much longer it lasts."""
    after_start_s: float
    """Of that, what comes after a replica that is started now is ready."""


@lru_cache(maxsize=4096)
def outlook(lasted_s: int, cold_start_s: int, scale_s: float, shape: float) -> Outlook:
    """Return the expected rest of a burst that has lasted that long: P(longer than t) = (1 + t / scale) ** -shape.

    >>> outlook(3, 10, 7.4, 1.15).rest_s < outlook(12, 10, 7.4, 1.15).rest_s
    True
    """
    longer = [(1.0 + edge / scale_s) ** -shape for edge in (0, *_EDGES_S)] + [0.0]
    lasted_s = min(lasted_s, MAX_S)
    weight = rest = after = 0.0
    for place, middle_s in enumerate(_MIDDLES_S):
        if middle_s >= lasted_s:
            part = longer[place] - longer[place + 1]
            weight += part
            rest += part * (middle_s - lasted_s)
            after += part * max(0.0, middle_s - lasted_s - cold_start_s)
    return Outlook(rest_s=rest / weight, after_start_s=after / weight)
