"""Decides how many replicas of each function run, and applies it where the functions live."""
