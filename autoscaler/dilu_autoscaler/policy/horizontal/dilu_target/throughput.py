"""The throughput of one replica where its runtime has learned none: shown by what it answers while it is saturated."""

from __future__ import annotations

from typing import NamedTuple

from dilu_autoscaler.policy.horizontal.observations import Sample


class ShownThroughput(NamedTuple):
    """What replicas have shown of themselves."""

    rps: float | None = None
    """Of one replica. None: nothing shown that contradicts what is annotated."""
    in_flight: float = 0.0
    """At the end of the last second, taken as its mean."""


NOTHING_SHOWN = ShownThroughput()


def shown_after(
    before: ShownThroughput, sample: Sample, *, ready: int, batch: int, slo_s: float, known_rps: float | None
) -> ShownThroughput:
    """Return what replicas have shown after one more second.

    * Requests stay longer than the objective, by Little's law: replicas answer what they can, and all that does not
      stay was answered.
    * Requests are missed while each replica has a batch to work on: what was not missed is what replicas can.
    * Else replicas answer what comes: they can do that at least.

    >>> queued = Sample(t_s=0.0, rps=50.0, concurrency=90.0)
    >>> shown_after(ShownThroughput(None, 60.0), queued, ready=2, batch=4, slo_s=1.0, known_rps=40.0).rps
    10.0
    """
    shown = before.rps
    if ready > 0 and sample.rps > 0:
        answered = max(0.0, sample.rps - (sample.concurrency - before.in_flight))
        missed = sample.missed or 0.0
        if sample.concurrency > slo_s * max(answered, sample.rps):
            shown = _mean(shown, answered / ready)
        elif missed and sample.concurrency >= batch * ready:
            shown = _mean(shown, max(0.0, answered - missed) / ready)
        elif not missed and answered > ready * (shown or known_rps or 0.0):
            shown = answered / ready
    return ShownThroughput(shown or None, sample.concurrency)


def _mean(shown: float | None, newest: float) -> float:
    return newest if shown is None else (shown + newest) / 2
