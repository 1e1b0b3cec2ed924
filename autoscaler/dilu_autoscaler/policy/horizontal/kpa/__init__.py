"""Knative's pod autoscaler: settings, windows, state, rule and burst capacity."""
