"""How much is measured, and the order of the autoscalers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Counts and times of one run."""

    turns: Mapping[int, int]  # revisions, each with PODS_PER_REVISION ready pods -> turns of each autoscaler
    idle_revisions: int  # at zero, for the time from a report to a pod
    pokes: int  # measured starts from zero in one turn of an autoscaler
    quiet_turns: int  # of each autoscaler, with the revisions at zero alone
    settle_s: float  # from "all pods are scraped" to the first figure
    rest_s: float  # how long the figures at rest are taken
    services: int  # of the cluster's part: cold starts of one round
    rounds: int


PODS_PER_REVISION: Final = 3
FULL: Final = Sizes(
    # Stock keeps at most 1,000 connections to pods: with 900 pods both scrape over connections that are there.
    turns={300: 3, 1000: 3},
    idle_revisions=24,
    pokes=24,
    quiet_turns=3,
    settle_s=75.0,  # a scaler starts in panic, which ends after its window of 60 s
    rest_s=60.0,
    services=4,
    rounds=5,
)
QUICK: Final = Sizes(
    turns={10: 1},
    idle_revisions=6,
    pokes=6,
    quiet_turns=0,
    settle_s=1.0,
    rest_s=4.0,
    services=2,
    rounds=1,
)


def in_turn(names: Sequence[str], turn: int) -> Sequence[str]:
    """Return the order in one turn. The first one changes from turn to turn: drift of the machine hits both alike."""
    return names if turn % 2 == 0 else names[::-1]
