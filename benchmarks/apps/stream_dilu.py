"""Numbers as a stream, from an async generator and from a sync one.

python -m dilu serve benchmarks/apps/stream_dilu.py:count
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import dilu


@dilu.function
async def count(n: int) -> AsyncIterator[int]:
    """0, 1, 2, ... n - 1."""
    for number in range(n):
        yield number


@dilu.function
def count_sync(n: int) -> Iterator[int]:
    """0, 1, 2, ... n - 1."""
    yield from range(n)
