"""The linear model with another rule for waiting: CONSTANT_WAIT_MS, or ours where it is not set.

Other servers wait for a constant time; the SDK has no such option, so it is patched in here.
python -m dilu serve benchmarks/apps/waiting_dilu.py
"""

from __future__ import annotations

import os

import dilu
from apps import linear_kernel
from dilu.batching import BatchRule, ExecutionFit
from dilu.runtime.execution import batch_queue

if "CONSTANT_WAIT_MS" in os.environ:
    WAIT_S = float(os.environ["CONSTANT_WAIT_MS"]) / 1e3

    def constant_wait_s(
        rule: BatchRule, *, queued: int, oldest_wait_s: float, arrival_rps: float, fit: ExecutionFit | None
    ) -> float:
        """Close a batch when it is full, or WAIT_S after its first item came."""
        return 0.0 if queued >= rule.max_size else max(0.0, WAIT_S - oldest_wait_s)

    vars(batch_queue)["batch_wait_s"] = constant_wait_s


# Admission by the objective would hide long waits: it refuses what would be late.
@dilu.function(batch=linear_kernel.MAX_BATCH, slo_ms=linear_kernel.SLO_S * 1e3, admission="queue", example=[1.0])
class Linear:
    """Numbers in, the same numbers out."""

    def predict(self, items: list[list[float]]) -> list[list[float]]:
        """Run one batch."""
        return linear_kernel.run(items)
