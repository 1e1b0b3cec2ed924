"""What the replicas of an opted-in revision say of themselves, and what that is together. Pure.

Their queue, refusals and speed are what queue-proxies do not know. Arrivals are not here: queue-proxies and activators
report those, and a request must not count twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from dilu_autoscaler.knative.configuration.annotation_rules import LEAST_RPS

MOST_STATS_BYTES: Final = 16 * 1024
"""Of one answer: a replica with a dozen functions."""
FRESH_S: Final = 3.0
_CLOCK_STEP_S: Final = 1.0  # stamps from further ahead are from before the clock was set back

_Number = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class RuntimeReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one replica says at `/v1/stats`; the rest of it is not read."""

    state: str = ""
    in_flight: _Count
    queue_depth: _Count
    refused_rps: _Number = 0.0
    oldest_wait_s: _Number = 0.0
    learned_rps: _Number | None = None  # None: nothing learned yet


_DECODER: Final = msgspec.json.Decoder(RuntimeReport)


def read_report(data: bytes) -> RuntimeReport | None:
    """The report in an answer's body; None for what is none."""
    try:
        return _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dated:
    """A report, and when it came."""

    report: RuntimeReport
    at_s: float

    def is_fresh(self, now_s: float) -> bool:
        """Whether it still says how things are."""
        return -_CLOCK_STEP_S <= now_s - self.at_s <= FRESH_S


@dataclass(frozen=True, slots=True, kw_only=True)
class RevisionStats:
    """One revision, by those of its replicas that said something lately. What others have is not guessed."""

    asked: int  # pods that are to be asked
    answered: int  # of which so many did
    queue_depth: int
    refused_rps: float
    learned_rps: float | None
    """Of one replica. None: none has learned it yet."""
    in_flight: Mapping[str, int]  # by pod
    oldest_wait_s: float
    age_s: float  # of the oldest report


def together(reports: Mapping[str, Dated], *, asked: int, now_s: float) -> RevisionStats | None:
    """What fresh reports are together; None if there is none."""
    fresh = {pod: dated for pod, dated in reports.items() if dated.is_fresh(now_s)}
    if not fresh:
        return None
    said = [dated.report for dated in fresh.values()]
    return RevisionStats(
        asked=asked,
        answered=len(fresh),
        queue_depth=sum(one.queue_depth for one in said),
        refused_rps=math.fsum(one.refused_rps for one in said),
        learned_rps=_learned_rps(said),
        in_flight={pod: dated.report.in_flight for pod, dated in fresh.items()},
        oldest_wait_s=max(one.oldest_wait_s for one in said),
        age_s=max(0.0, max(now_s - dated.at_s for dated in fresh.values())),
    )


def _learned_rps(reports: Iterable[RuntimeReport]) -> float | None:
    """The mean of those that know.

    Replicas differ: they share GPUs with different neighbours. n of them sustain n times the mean, which is what a
    number of replicas is computed with; by the fastest one there would be too few. One that stops counts no more: it
    is on its way out and may have left its GPU to others.
    """
    known = [
        one.learned_rps
        for one in reports
        if one.learned_rps is not None and one.learned_rps >= LEAST_RPS and one.state != "draining"
    ]
    return math.fsum(known) / len(known) if known else None
