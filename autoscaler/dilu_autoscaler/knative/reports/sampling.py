"""How many of a revision's pods are scraped, and the load of all pods by that sample. Source: the contract, §3.3."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.knative.reports.stats import Stat

_MAX_ALL: Final = 3  # of at most this number, all are scraped
# For a confidence level of 95 %, a variance of 100 and an error of 5.
_SAMPLE: Final = 1.96**2 * 100 / 25


def sample_size(pods: int) -> int:
    """Return how many of `pods` are scraped.

    >>> [sample_size(pods) for pods in (0, 3, 5, 10, 100, 1000)]
    [0, 3, 4, 7, 14, 16]
    """
    if pods <= _MAX_ALL:
        return pods
    return math.ceil(pods * _SAMPLE / (pods + _SAMPLE - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """The load of all pods of a revision, without the part that activators report."""

    concurrency: float
    rps: float


def load_of(stats: Sequence[Stat], pods: int) -> Load | None:
    """Return the load of `pods` pods by the reports of some of them; None without a report."""
    if not stats:
        return None
    concurrency = proxied = requests = proxied_requests = 0.0
    for one in stats:  # added one by one: sum() of later Pythons rounds differently from Knative
        concurrency += one.concurrency
        proxied += one.proxied_concurrency
        requests += one.requests
        proxied_requests += one.proxied_requests
    scraped = len(stats)
    return Load(
        concurrency=concurrency / scraped * pods - proxied / scraped * pods,
        rps=requests / scraped * pods - proxied_requests / scraped * pods,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """A revision's pods that can be scraped: their IPs, in the order of scraping."""

    old: tuple[str, ...] = ()  # started at least a stable window ago
    young: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Return the number of pods."""
        return len(self.old) + len(self.young)


def targets_of(pods: Iterable[tuple[str, float]], *, stable_window_s: float, now_s: float) -> Targets:
    """Split pods, each `(IP, start time)`, by whether they started at least a stable window ago."""
    old: list[str] = []
    young: list[str] = []
    for ip, started_s in pods:
        (old if now_s - started_s >= stable_window_s else young).append(ip)
    return Targets(old=tuple(old), young=tuple(young))
