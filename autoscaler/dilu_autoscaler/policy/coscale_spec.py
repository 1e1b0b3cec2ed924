"""What Dilu's own horizontal rule is told about a function, with a switch for each of its ingredients."""

from __future__ import annotations

from dataclasses import dataclass

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.bounds import Bounds
from dilu_autoscaler.policy.demand import check_positive


@dataclass(frozen=True, slots=True, kw_only=True)
class CoscaleSpec:
    """One function's settings. The numbers are the same for every function.

    They were searched on generated loads. Among those that did alike there the choice was made with two published
    traces in view, so these are no test of it.
    """

    rps_limit: float | None = None
    """Throughput of one replica at its SM limit. None: as learned, see `Observation.capacity_rps`."""
    slo_s: float | None = None
    """None: no objective; then no backlog is counted."""
    bounds: Bounds = Bounds()  # noqa: RUF009 (frozen: one value for all)
    keeps_budget: bool = True
    """Whether cold starts and replica time stay within what the paper's rule would have spent. Off: it follows the
    load, and lets go after `keep_s`."""
    time_ratio: float = 0.99
    """Replica time to spend, of the paper's. The one knob between cost and violations."""
    lead_starts: int = 0
    """So many starts may come before the paper's rule makes them. 1: fewer violations, often one cold start more."""
    right_number: bool = True
    """Whether it may go out by several at once."""
    counts_backlog: bool = True
    """Whether what waits beyond the objective adds to the demand."""
    returns: bool = True
    """Whether saved replica time may buy a start that the paper's rule would not make."""
    keep_s: float = 24.0
    """How long a replica is kept that is not needed; longer with time in hand, shorter without."""

    def __post_init__(self) -> None:
        check_positive("rps-limit", self.rps_limit)
        check_positive("slo", self.slo_s)
        check_positive("time ratio", self.time_ratio)
        if self.lead_starts < 0 or not self.keep_s >= 0:
            raise ConfigError(f"lead starts = {self.lead_starts}, keep = {self.keep_s} s, must both be >= 0")


def coscale_spec_for(function: FunctionSpec) -> CoscaleSpec:
    """The rule's settings for a function."""
    return CoscaleSpec(
        rps_limit=function.rps_limit,
        slo_s=function.slo_s,
        bounds=Bounds(min_replicas=function.min_scale, max_replicas=function.max_scale),
    )
