"""How many of a revision's pods are asked, and what their answers say of all of them. Source: the contract, §3.3."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dilu_autoscaler.knative.reports.stats import Stat

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
    concurrency = proxied = requests = proxied_requests = 0.0
    for one in stats:  # added one by one: later Pythons' sum() rounds otherwise than Knative does
        concurrency += one.concurrency
        proxied += one.proxied_concurrency
        requests += one.requests
        proxied_requests += one.proxied_requests
    asked = len(stats)
    return Load(
        concurrency=concurrency / asked * pods - proxied / asked * pods,
        rps=requests / asked * pods - proxied_requests / asked * pods,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """A revision's pods that can be asked: their IPs by age, the first are asked first."""

    old: tuple[str, ...] = ()  # up for a stable window
    young: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.old) + len(self.young)


def targets_of(pods: Iterable[tuple[str, float]], *, stable_window_s: float, now_s: float) -> Targets:
    """The pods, each `(IP, when it started)`, by whether they are up for a stable window."""
    old: list[str] = []
    young: list[str] = []
    for ip, started_s in pods:
        (old if now_s - started_s >= stable_window_s else young).append(ip)
    return Targets(old=tuple(old), young=tuple(young))
