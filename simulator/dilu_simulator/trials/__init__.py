"""Policies tried on generated loads, second by second: what benchmarks, tests and evaluations compare them with.

Everything is drawn from a `Random` that is passed in or made of a written seed, so each load can be had again.
"""
