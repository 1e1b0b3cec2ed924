"""How long replicas stay unneeded before they are needed again: gaps, remembered over a long and a short window.

This is the hybrid histogram that INFless keeps a function warm by, as plain values. A gap is a run of seconds in which
fewer replicas were needed, that ended when so many were needed again; two that were let go of are two gaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleGaps:
    """The gaps that ended lately, and the replicas that are in one now."""

    since: tuple[int, ...] = ()
    """For each replica that was needed and is not now: the sample at which its gap began. Ascending: the replica that
    was needed least went first."""
    ended: tuple[tuple[int, int], ...] = ()
    """(sample at which it ended, its length), oldest first."""
    need: int = 0
    sample: int = 0
    """How many samples there were."""


NO_GAPS: Final = IdleGaps()


def gaps_after(gaps: IdleGaps, need: int, *, long_samples: int, most_gaps: int = 256) -> IdleGaps:
    """The gaps after one more sample that needed so many replicas."""
    now = gaps.sample + 1
    since, ended = gaps.since, gaps.ended
    if need < gaps.need:
        since = (*since, *[now] * min(gaps.need - need, most_gaps))[-most_gaps:]
    elif need > gaps.need and since:
        back = min(need - gaps.need, len(since))
        ended = (*ended, *[(now, now - began) for began in reversed(since[-back:])])
        since = since[:-back]
    ended = ended[-most_gaps:]
    if ended and ended[0][0] <= now - long_samples:
        ended = tuple([gap for gap in ended if gap[0] > now - long_samples])
    return IdleGaps(since=since, ended=ended, need=need, sample=now)


def gap_percentile(gaps: IdleGaps, percentile: float, *, within_samples: int) -> float | None:
    """That percentile of the gaps that ended within the last so many samples. None: there was none.

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
