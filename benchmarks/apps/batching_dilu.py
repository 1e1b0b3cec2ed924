"""The batching contender under test.

python -m dilu serve benchmarks/apps/batching_dilu.py
"""

from __future__ import annotations

import dilu
from apps.kernel import MAX_BATCH, Kernel


@dilu.function(batch=MAX_BATCH)
class Infer:
    """64 floats in, their number out, after 5 ms a batch."""

    def load(self) -> None:
        """Open the counts."""
        self._kernel = Kernel()

    def predict(self, items: list[list[float]]) -> list[int]:
        """Run one batch."""
        return self._kernel.run(items)
