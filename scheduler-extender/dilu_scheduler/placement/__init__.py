"""Placement: which GPUs a replica runs on, given what is booked. Pure: no clock, no randomness, no I/O."""

from dilu_scheduler.placement.books import Books, Demand, Placement
from dilu_scheduler.placement.first_fit import Exclusive, FirstFit, FirstFitByLimit
from dilu_scheduler.placement.registry import PLACEMENTS, placement_named

__all__ = ["PLACEMENTS", "Books", "Demand", "Exclusive", "FirstFit", "FirstFitByLimit", "Placement", "placement_named"]
