"""Scenarios that come with the simulator: files only."""
