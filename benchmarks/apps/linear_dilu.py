"""The linear model under test: `python -m dilu serve benchmarks/apps/linear_dilu.py`."""

from __future__ import annotations

import dilu
from apps import linear_kernel


@dilu.function(batch=linear_kernel.MAX_BATCH, slo_ms=linear_kernel.SLO_S * 1e3, example=[1.0])
class Linear:
    """Numbers in, the same numbers out."""

    def predict(self, items: list[list[float]]) -> list[list[float]]:
        """Run one batch."""
        return linear_kernel.run(items)
