"""How long replicas stay unneeded before they are needed again: gaps, remembered over a long and a short window.

This is INFless' hybrid histogram for keep-alives, as plain values. A gap is a run of seconds in which a replica was not
needed, which ended when it was needed again; two replicas that were not needed are two gaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleGaps:
    """The gaps that ended lately, and the replicas that are in a gap now."""

    since: tuple[int, ...] = ()
    """For each replica that was needed and is not now: the sample at which its gap began, ascending."""
    ended: tuple[tuple[int, int], ...] = ()
    """(sample at which it ended, its length), oldest first."""
    need: int = 0
    sample: int = 0
    """Number of samples so far."""


NO_GAPS: Final = IdleGaps()


def gaps_after(gaps: IdleGaps, need: int, *, long_samples: int, max_gaps: int = 256) -> IdleGaps:
    """Return the gaps after one more sample that needed `need` replicas."""
    now = gaps.sample + 1
    since, ended = gaps.since, gaps.ended
    if need < gaps.need:
        since = (*since, *[now] * min(gaps.need - need, max_gaps))[-max_gaps:]
    elif need > gaps.need and since:
        back = min(need - gaps.need, len(since))
        ended = (*ended, *[(now, now - began) for began in reversed(since[-back:])])
        since = since[:-back]
    ended = ended[-max_gaps:]
    if ended and ended[0][0] <= now - long_samples:
        ended = tuple([gap for gap in ended if gap[0] > now - long_samples])
    return IdleGaps(since=since, ended=ended, need=need, sample=now)


def gap_percentile(gaps: IdleGaps, percentile: float, *, within_samples: int) -> float | None:
    """Return that percentile of the gaps that ended within the last `within_samples` samples. None: no gap ended.

    >>> gap_percentile(IdleGaps(ended=((5, 3), (9, 8)), sample=10), 90, within_samples=100)
    7.5
    """
    lengths = sorted([length for at, length in gaps.ended if at > gaps.sample - within_samples])
    return _percentile(lengths, percentile) if lengths else None


def _percentile(ascending: Sequence[int], percentile: float) -> float:
    place = (len(ascending) - 1) * percentile / 100
    low = math.floor(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (place - low)
