"""Pure decisions on two dimensions: `horizontal` (how many replicas) and `vertical` (which share of a GPU).

No clock, no randomness, no I/O, no logging here: the same values in give the same values out, so a simulator, a
replay and a cluster run the very same code. State is frozen plain data.
"""
