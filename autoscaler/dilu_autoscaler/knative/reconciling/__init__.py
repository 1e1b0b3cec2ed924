"""Brings the cluster's objects to what was decided: plans without side effects, and the one that writes."""
