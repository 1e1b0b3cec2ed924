"""What Dilu's own horizontal rule is told about a function, with a switch for each of its ingredients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dilu.errors import ConfigError
from dilu.spec import FunctionSpec
from dilu_autoscaler.policy.horizontal.bounds import Bounds
from dilu_autoscaler.policy.horizontal.demand import check_positive

TIME_RATIO: Final = 0.987


@dataclass(frozen=True, slots=True, kw_only=True)
class CoscaleSpec:
    """One function's settings. The defaults are the same for every function: searched on generated loads, and judged
    on others (`benchmarks/policy_quality.py`)."""

    rps_limit: float | None = None
    """Throughput of one replica at its SM limit. None: as learned, see `Observation.learned_rps`."""
    rps_request: float | None = None
    """Throughput at its SM request, which it has in any case. None: half of the limit."""
    slo_s: float | None = None
    """None: no objective; then no backlog is counted."""
    bounds: Bounds = Bounds()  # noqa: RUF009 (frozen: one value for all)
    time_ratio: float = TIME_RATIO
    """The one knob between cost and violations: replica time to spend, of the paper's. With more of it there are more
    starts to spend too."""
    keeps_budget: bool = True
    """Whether starts and replica time are kept within what the paper's rule would have spent. Off: prices stay as they
    are, whatever was spent."""
    leads: bool = True
    """Whether it may start before the paper's rule does."""
    right_number: bool = True
    """Whether it may go out, and in, by several at once."""
    learns_gaps: bool = True
    """Whether it keeps what is not needed for as long as the gaps so far say. Off: as long as the paper's rule does."""
    forecasts: bool = True
    """Whether it starts ahead of a load that comes back in a known period."""
    learns_cold_start: bool = True
    """Whether it learns how long a start takes. Off: as assumed at first."""
    counts_starting: bool = True
    """Whether replicas that are starting count as there."""
    counts_backlog: bool = True
    """Whether what waits beyond the objective adds to the demand."""
    spends_headroom: bool = True
    """Whether a replica is planned for what its node can grant now. Off: for its limit, whatever the node says."""

    def __post_init__(self) -> None:
        check_positive("rps-limit", self.rps_limit)
        check_positive("rps-request", self.rps_request)
        check_positive("slo", self.slo_s)
        if not 0 < self.time_ratio < float("inf"):
            raise ConfigError(f"time ratio = {self.time_ratio}, must be a finite number above 0")


def coscale_spec_for(function: FunctionSpec) -> CoscaleSpec:
    """Return the rule's settings for a function."""
    return CoscaleSpec(
        rps_limit=function.rps_limit,
        rps_request=function.rps_request,
        slo_s=function.slo_s,
        bounds=Bounds(min_replicas=function.min_scale, max_replicas=function.max_scale),
    )
