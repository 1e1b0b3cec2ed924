"""How many of a revision's pods are asked, and what their answers say of all of them. Source: the contract, §3.3."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.knative.stats import Stat

SCRAPER: Final = "service-scraper"
_ALL_UP_TO: Final = 3
# A 95 % confidence level, a variance of 100 and an error of 5.
_SAMPLE: Final = 1.96**2 * 100 / 25


def sample_size(pods: int) -> int:
    """How many of `pods` are asked.

    >>> [sample_size(pods) for pods in (0, 3, 5, 10, 100, 1000)]
    [0, 3, 4, 7, 14, 16]
    """
    if pods <= _ALL_UP_TO:
        return pods
    return math.ceil(pods * _SAMPLE / (pods + _SAMPLE - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What all pods of a revision report together, without what activators report already."""

    concurrency: float
    rps: float


def load_of(stats: Sequence[Stat], pods: int) -> Load | None:
    """The load of `pods` pods by the reports of some of them; None without a report."""
    if not stats:
        return None
    scale = pods / len(stats)
    return Load(
        concurrency=sum(one.concurrency - one.proxied_concurrency for one in stats) * scale,
        rps=sum(one.requests - one.proxied_requests for one in stats) * scale,
    )
