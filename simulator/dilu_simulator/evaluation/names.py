"""What the paper calls what we call otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PAPER_NAMES: Final[Mapping[str, str]] = {
    "eager": "FaST-GS+",
    "infless": "INFless+",
    "dilu-paper": "Dilu",
    "exclusive": "Exclusive",
    "static-limit": "MPS-l",
    "static-request": "MPS-r",
    "tgs": "TGS",
    "fast-gs": "FaST-GS",
}
"""What the paper calls our policies."""


def named(policy: str) -> str:
    """Our name, with the paper's where it has one.

    >>> named("eager"), named("kpa")
    ('eager (FaST-GS+)', 'kpa')
    """
    return f"{policy} ({PAPER_NAMES[policy]})" if policy in PAPER_NAMES else policy
