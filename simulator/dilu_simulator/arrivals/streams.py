"""Randomness: one stream for each purpose, so that what one purpose draws changes nothing for another."""

from __future__ import annotations

from random import Random


def stream_for(seed: int, *purpose: str) -> Random:
    """Return the random stream for a purpose: the same for the same seed and words, on every machine and policy.

    >>> stream_for(1, "embed", "arrivals").random() == stream_for(1, "embed", "arrivals").random()
    True
    """
    return Random("/".join([str(seed), *purpose]))  # a text is hashed whole (SHA-512), unlike by hash()
