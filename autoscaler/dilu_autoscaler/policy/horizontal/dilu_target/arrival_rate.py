"""The rate of arrivals since it last changed: stable while the load is, and new within two seconds after a step."""

from __future__ import annotations

from typing import Final, NamedTuple

SURE: Final = 4.0
"""Standard errors between the last seconds and the mean from which on the rate has changed: by chance that happens in
0.006 % of the comparisons."""
AVERAGE_S: Final = 120
"""Seconds over which a steady rate is averaged: a drift shows in the mean within two minutes."""
_WINDOWS_S: Final = (2, 4, 8, 16)
"""Spans of the newest seconds that are compared: large steps show in the first, small ones in the last."""


class ArrivalRate(NamedTuple):
    """What is known of the rate."""

    recent: tuple[float, ...] = ()
    """Requests of the newest seconds, oldest first."""
    mean_rps: float = 0.0
    """Mean since the rate last changed, or over the last `AVERAGE_S`."""
    seconds: int = 0
    """Seconds in that mean."""
    dispersion: float = 1.0
    """Variance of a second's requests over their mean: 1 for Poisson arrivals, 0 for evenly spaced ones."""


NO_ARRIVALS: Final = ArrivalRate()


def rate_after(before: ArrivalRate, rps: float) -> ArrivalRate:
    """Return the rate after one more second.

    >>> rate = NO_ARRIVALS
    >>> for rps in [10.0] * 30 + [1000.0] * 2:
    ...     rate = rate_after(rate, rps)
    >>> rate.mean_rps, rate.seconds
    (1000.0, 2)
    """
    recent, mean, seconds, dispersion = before
    recent = (*recent, rps)[-_WINDOWS_S[-1] :]
    noise = max(dispersion * mean, 1.0)
    if seconds >= _WINDOWS_S[0]:
        sure_variance = SURE * SURE * noise
        for span in _WINDOWS_S:
            if seconds < span:
                break
            off = sum(recent[-span:]) - span * mean
            if off * off > sure_variance * span:
                return ArrivalRate(recent, off / span + mean, span, dispersion)
    seconds = min(seconds + 1, AVERAGE_S)
    if seconds > _WINDOWS_S[1]:  # a younger mean is near its own seconds whatever the noise
        dispersion += ((rps - mean) ** 2 / max(mean, 1.0) - dispersion) / AVERAGE_S
    return ArrivalRate(recent, mean + (rps - mean) / seconds, seconds, dispersion)
