"""What this machine can answer in time, and the burst that fits it."""

from __future__ import annotations

from dataclasses import dataclass

from examples.embeddings.demo_platform import ServedFunction, wait_for

from dilu.load import LoadPlan, run_load_sync
from dilu.load.arrivals import constant

_FIRST_RPS = 40
_STEP_S = 3.0
_STEP_FACTOR = 1.5
_OVERLOADED = 0.9  # less than this share in time: the rate is beyond the capacity
_MAX_RPS = 2000  # beyond it the load generator would be what is measured
_OVER_ONE = 1.4  # times what one replica answers: it needs a second one
_OF_TWO = 0.85  # of what two replicas answer: they have room for the peaks of random arrivals
_MIN_OVER_ONE = 1.1  # below it one replica would do, even on a machine where a second one brings little


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineCapacity:
    """Requests per second that are answered within the objective, at most."""

    one_rps: float  # by one replica while the other is idle
    two_rps: float  # by two replicas at once, behind the gateway


def burst_rps(capacity: MachineCapacity) -> int:
    """Return a rate that needs two replicas and that two can answer, as far as this machine has such a rate."""
    fits = min(_OVER_ONE * capacity.one_rps, _OF_TWO * capacity.two_rps)
    return round(max(fits, _MIN_OVER_ONE * capacity.one_rps))


def measure(function: ServedFunction, payloads: tuple[bytes, ...], slo_ms: float) -> MachineCapacity:
    """Measure a function that runs two replicas."""
    wait_for(lambda: function.status()["ready"] == 2, timeout_s=120, what="two replicas are ready")
    port = function.status()["replicas"][0]["port"]
    one_rps = _peak_rps(f"http://127.0.0.1:{port}/", _FIRST_RPS, payloads, slo_ms)
    return MachineCapacity(one_rps=one_rps, two_rps=_peak_rps(function.url, one_rps, payloads, slo_ms))


def _peak_rps(url: str, rate_rps: float, payloads: tuple[bytes, ...], slo_ms: float) -> float:
    """Return the highest rate of answers in time, under a load that rises until it is too much twice in a row."""
    peak_rps = 0.0
    overloaded = 0
    while overloaded < 2 and rate_rps <= _MAX_RPS:
        result = run_load_sync(
            LoadPlan(url=url, arrivals=constant(rate_rps, _STEP_S), payloads=payloads, slo_ms=slo_ms, timeout_s=20)
        )
        in_time = sum(record.ok and 1000 * record.latency_s <= slo_ms for record in result.records)
        peak_rps = max(peak_rps, in_time / _STEP_S)
        overloaded = overloaded + 1 if in_time < _OVERLOADED * len(result.records) else 0
        rate_rps *= _STEP_FACTOR
    return peak_rps
