"""When a request will be answered: pure rules that the runtime and the simulator share.

A replica knows how long a batch takes (`ExecutionFit`), which batches run, and how many requests wait before a new
one. From these it predicts when the new one will be answered, and refuses it at once if that is too late, while the
client still has time to go elsewhere.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dilu.batching import BatchRule, ExecutionFit

# Share of the objective kept for what no prediction covers: reading the request, writing its answer, the network.
# It costs no throughput: under overload the queue is shorter by this share, nothing else changes.
_RESERVE_RATIO = 0.08
# Share of the promised batches that may end later than promised.
_LATE_RATIO = 0.01
# One step of the learned margin, as a share of the objective: large enough to follow, small enough to be calm.
_STEP_RATIO = 0.02
# A larger margin would refuse nearly every request that comes while a batch runs, and so end batching. What it would
# have to cover is an execution fit that is wrong, and only executing batches corrects that.
_MAX_MARGIN_RATIO = 0.25


class RunningBatch(NamedTuple):
    """A batch that runs now. (A tuple, because one is made for every batch.)"""

    began_s: float
    size: int

    def free_after_s(self, fit: ExecutionFit, now_s: float) -> float:
        """Return the seconds until it ends; an overdue batch is expected to take as long again as it is late."""
        return abs(self.began_s + fit.execution_s(self.size) - now_s)


def answer_after_s(
    rule: BatchRule,
    fit: ExecutionFit,
    *,
    ahead: int,
    running: Sequence[RunningBatch],
    slots: int,
    arrival_rps: float = 0.0,
    now_s: float = 0.0,
) -> float:
    """Return the seconds until a request that came now would be answered.

    `ahead` requests wait before it, `running` are the batches that run, `slots` batches may run at once. Its own batch
    holds the requests that wait before it and those that arrive, at `arrival_rps`, until it begins. A request with
    more ahead of it is never predicted to be answered sooner.

    >>> fit = ExecutionFit(fixed_s=0.010, per_item_s=0.001)
    >>> answer_after_s(BatchRule(max_size=10), fit, ahead=0, running=[], slots=1)
    0.011
    >>> running = [RunningBatch(0.0, 10)]
    >>> round(answer_after_s(BatchRule(max_size=10), fit, ahead=15, running=running, slots=1, now_s=0.005), 3)
    0.051
    """
    size = rule.size_for(fit)
    fit = fit.hopeful()
    batches_before, place = divmod(ahead, size)
    begins_s = _begins_after_s(fit, size, batches_before, running, slots, now_s)
    own_size = min(size, place + 1 + arrival_rps * begins_s)
    answer_s = begins_s + fit.fixed_s + fit.per_item_s * own_size
    if slots > 1 and batches_before:  # a small batch in another slot may end first, but a promise cannot rely on it
        before_s = _begins_after_s(fit, size, batches_before - 1, running, slots, now_s) + fit.execution_s(size)
        answer_s = max(answer_s, before_s)
    return answer_s


def _begins_after_s(
    fit: ExecutionFit, size: int, batches_before: int, running: Sequence[RunningBatch], slots: int, now_s: float
) -> float:
    """Return the seconds until a slot is free for a batch that waits behind `batches_before` full ones."""
    if slots == 1:
        free_s = running[0].free_after_s(fit, now_s) if running else 0.0
        return free_s + batches_before * fit.execution_s(size)
    free_at = [0.0] * (slots - len(running)) + [batch.free_after_s(fit, now_s) for batch in running]
    heapq.heapify(free_at)
    for _ in range(batches_before):  # each takes the slot that is free first
        heapq.heapreplace(free_at, free_at[0] + fit.execution_s(size))
    return free_at[0]


def budget_s(objective_s: float) -> float:
    """Return the part of the objective that waiting and execution may take."""
    return objective_s * (1.0 - _RESERVE_RATIO)


def retry_after_s(answer_s: float, objective_s: float) -> int:
    """Return the whole seconds after which the wait will have shrunk to what the objective allows; at least 1."""
    return max(1, math.ceil(answer_s - objective_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How much later than predicted batches end, learned so that all but one in a hundred keep their promise.

    After each promised batch the margin grows by a step if the batch ended later than promised, and shrinks by a
    hundredth of a step if it did not: it settles where one in a hundred is late (a stochastic quantile estimate). It
    learns per batch and not per request: a batch that stalls is late for all its requests, but it is one event.
    """

    margin_s: float = 0.0

    def learned(self, *, late_s: float, objective_s: float) -> Margin:
        """Return the margin after one more batch, which ended `late_s` after its prediction (negative: before)."""
        step_s = _STEP_RATIO * objective_s
        change_s = step_s * (1.0 - _LATE_RATIO) if late_s > self.margin_s else -step_s * _LATE_RATIO
        return Margin(margin_s=min(max(0.0, self.margin_s + change_s), _MAX_MARGIN_RATIO * objective_s))
