"""Ticks of the loop for the tests."""

from __future__ import annotations

from dilu_autoscaler.loop import Tick
from dilu_autoscaler.policy.horizontal import Decision, Observation


def tick(
    key: str = "shop/embed-00001",
    *,
    now_s: float = 0.0,
    before: int | None = 0,
    decided: int | None = 0,
    reason: str = "because",
    panicking: bool = False,
    failed: bool = False,
    ready: int = 0,
    stable: float | None = None,
    panic: float | None = None,
    excess: int | None = None,
) -> Tick:
    """One tick; `before` None: nothing was seen."""
    decision = Decision(
        replicas=decided,
        reason=reason,
        panicking=panicking,
        stable=stable,
        panic=panic,
        excess_burst_capacity=excess,
    )
    seen = None if before is None else Observation(ready=ready, desired=before)
    return Tick(function=key, now_s=now_s, seen=seen, decision=decision, failed=failed)
