"""What is asked over every protocol: an echo of numbers, and a text's vector.

python -m dilu serve benchmarks/apps/protocols_dilu.py:echo
"""

from __future__ import annotations

import math
from typing import Final

import dilu

VECTOR: Final = [round(math.sin(n), 6) for n in range(64)]


@dilu.function
async def echo(x: list[float]) -> list[float]:
    """Answer with what came."""
    return x


@dilu.function(openai="embeddings")
async def embed(text: str) -> list[float]:
    """Return the same vector for every text."""
    return VECTOR
