"""What is collected of a revision."""

from __future__ import annotations

from dataclasses import dataclass

from dilu_autoscaler.policy.kpa_spec import Aggregation


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """What is collected of one revision: its Metric."""

    stable_window_s: int
    panic_window_s: int
    is_scraped: bool
    """Whether its pods are asked. Where they are not, all is reported by activators, and silence means no load."""
    aggregation: Aggregation = Aggregation.LINEAR
    """As it is at the first `collect`; Knative does not notice a later change."""
