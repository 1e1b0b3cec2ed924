"""Metrics, and what the explain server knows of revisions; the decision log is in `dilu_autoscaler.explaining`."""
