"""Recorded load, and what a policy would have decided on it: a bad night once more, on a laptop.

`spec_keys` says what a function's settings are called, `observations` reads and `recorder` writes what was seen,
`scalers` feed it to a policy, `runs` go through it in time, and `cli` prints the decisions.
"""
