"""The reports of the runtimes of an opted-in revision, and their sum. Pure.

They have what queue-proxies do not know: queue, refusals, throughput. Arrivals are not used: queue-proxies and
activators report them, and a request must not count twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from dilu_autoscaler.knative.configuration.annotation_rules import MIN_RPS

MAX_STATS_BYTES: Final = 16 * 1024
"""Limit of one answer; enough for a replica with a dozen functions."""
FRESH_S: Final = 3.0
_CLOCK_STEP_S: Final = 1.0  # times further in the future are from before the clock was set back

_Number = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class RuntimeReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of one replica's `/v1/stats` that is read."""

    state: str = ""
    in_flight: _Count
    queue_depth: _Count
    refused_rps: _Number = 0.0
    oldest_wait_s: _Number = 0.0
    learned_rps: _Number | None = None  # None: nothing learned yet


_DECODER: Final = msgspec.json.Decoder(RuntimeReport)


def read_report(data: bytes) -> RuntimeReport | None:
    """Return the report in an answer's body; None if it is not valid."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A report and the time of its receipt."""

    report: RuntimeReport
    at_s: float

    def is_fresh(self, now_s: float) -> bool:
        """Return whether the report is recent enough to be used."""
        return -_CLOCK_STEP_S <= now_s - self.at_s <= FRESH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStats:
    """The sum of one revision's recent reports. Replicas without one are not estimated."""

    pods: int  # pods of the revision
    answered: int  # pods with a recent report
    queue_depth: int
    refused_rps: float
    learned_rps: float | None
    """Of one replica. None: no replica has learned it yet."""
    in_flight: Mapping[str, int]  # by pod
    oldest_wait_s: float
    age_s: float  # of the oldest report


def together(reports: Mapping[str, Dated], *, pods: int, now_s: float) -> RevisionStats | None:
    """Return the sum of the fresh reports; None if there is none."""
    fresh = {pod: dated for pod, dated in reports.items() if dated.is_fresh(now_s)}
    if not fresh:
        return None
    current = [dated.report for dated in fresh.values()]
    return RevisionStats(
        pods=pods,
        answered=len(fresh),
        queue_depth=sum(one.queue_depth for one in current),
        refused_rps=math.fsum(one.refused_rps for one in current),
        learned_rps=_learned_rps(current),
        in_flight={pod: dated.report.in_flight for pod, dated in fresh.items()},
        oldest_wait_s=max(one.oldest_wait_s for one in current),
        age_s=max(0.0, max(now_s - dated.at_s for dated in fresh.values())),
    )


def _learned_rps(reports: Iterable[RuntimeReport]) -> float | None:
    """Return the mean over the replicas that know their throughput.

    Replicas differ, because they share GPUs with different neighbours. n replicas sustain n times the mean; a count
    computed from the fastest one would be too low. A draining replica does not count: its GPU may be in other use.
    """
    known = [
        one.learned_rps
        for one in reports
        if one.learned_rps is not None and one.learned_rps >= MIN_RPS and one.state != "draining"
    ]
    return math.fsum(known) / len(known) if known else None
