"""How many replicas a load needs, as a real number: what comes, what waits, and what arrivals vary."""

from __future__ import annotations

import math
from typing import Final

from dilu_autoscaler.policy.horizontal.dilu_target.arrival_rate import ArrivalRate

LIKE: Final = 0.1
"""Share of the arrivals within which a queue counts as constant, and the arrivals as what the replicas answer: seconds
are not counted at the same instant as what is in flight."""
MAX_GROWTH: Final = 2.0
"""Factor by which one round of starts may follow a closed loop: an open one that only looks like it shows its true rate
as soon as the replicas are ready."""


def steady_need(rate: ArrivalRate, *, replica_rps: float, wait_s: float, miss_ratio: float, used: float) -> float:
    """Return the replicas that a steady rate needs.

    With a throughput C above the rate r, a queue whose arrivals have the dispersion D holds more than C x wait_s with
    the probability exp(-2 wait_s C (C - r) / (D r)) (heavy traffic: Kingman 1962, Harrison 1985). That must be at
    most the share that may be missed. `used` (0..1) takes the margin back where less is missed than may be.

    >>> poisson = ArrivalRate((), 77.6, 60, 1.0)
    >>> round(steady_need(poisson, replica_rps=10.0, wait_s=0.6, miss_ratio=0.02, used=1.0), 2)
    8.07
    """
    mean = rate.mean_rps
    margin = min(1.0, used) * math.log(1.0 / miss_ratio) * rate.dispersion * mean / (2.0 * wait_s)
    return (mean + math.sqrt(mean * mean + 4.0 * margin)) / (2.0 * replica_rps)


def need_of_the_waiting(
    *,
    rps: float,
    in_flight: float,
    in_flight_before: float,
    ready: int,
    replica_rps: float,
    slo_s: float,
    clear_s: float,
) -> float:
    """Return the replicas that the requests in flight need; 0 where those that are ready can answer them in time.

    A queue that neither grows nor shrinks is one of clients who wait for their answer before they ask again (a closed
    loop): by Little's law they are answered in time by in_flight / (slo x throughput) replicas. Any other queue is
    worked off within `clear_s`, beside what comes: to start more for what is late already would be in vain.
    """
    holds = max(1, ready) * replica_rps * slo_s
    if in_flight <= holds:
        return 0.0
    is_constant = abs(in_flight - in_flight_before) < LIKE * rps
    if ready and is_constant and rps < (1.0 + LIKE) * ready * replica_rps:
        return min(in_flight / (replica_rps * slo_s), MAX_GROWTH * ready)
    return (rps + (in_flight - holds) / max(clear_s, slo_s)) / replica_rps
