"""When to close a batch, and how long a batch takes: pure rules that the runtime and the simulator share.

Execution time is modelled as `fixed + per_item x n` and learned from what ran. Waiting for one more item can
save that item at most the fixed part, so an open batch never waits longer than that, nor past the point where
its oldest request would miss its objective, and it does not wait at all when nobody is expected in that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Weight of what was known before, at each new batch: about the last 50 batches count.
_MEMORY_RATIO = 0.98
# Batch sizes that differ by less than this (variance) say nothing about the cost per item.
_LEAST_SIZE_VARIANCE = 0.01
# How much of the objective one batch may run for.
_BATCH_RATIO = 0.6


class ExecutionModel(NamedTuple):
    """Learned execution time of a batch: decayed sums of a least-squares fit of seconds over batch size.

    A tuple, as the fit is: one of each is made for every batch, and a frozen dataclass takes six times as long.
    """

    weight: float = 0.0
    sum_size: float = 0.0
    sum_size_squared: float = 0.0
    sum_s: float = 0.0
    sum_size_s: float = 0.0
    batches: int = 0
    line: ExecutionFit | None = None  # the last one that two different sizes have shown

    def learned(self, size: int, execution_s: float) -> ExecutionModel:
        """The model after one more batch of `size` items that took `execution_s`."""
        weight, sum_size, sum_size_squared, sum_s, sum_size_s, batches, line = self
        model = ExecutionModel(
            weight * _MEMORY_RATIO + 1.0,
            sum_size * _MEMORY_RATIO + size,
            sum_size_squared * _MEMORY_RATIO + size * size,
            sum_s * _MEMORY_RATIO + execution_s,
            sum_size_s * _MEMORY_RATIO + size * execution_s,
            batches + 1,
            line,
        )
        return model if model.size_variance < _LEAST_SIZE_VARIANCE else model._replace(line=model._shown_line())

    @property
    def size_variance(self) -> float:
        """How much the sizes of the batches differ that still count; 0 before the first one."""
        if not self.batches:
            return 0.0
        mean_size = self.sum_size / self.weight
        return self.sum_size_squared / self.weight - mean_size * mean_size

    def fit(self) -> ExecutionFit | None:
        """The fitted line, or None before the first batch."""
        if self.batches == 0:
            return None
        if self.size_variance >= _LEAST_SIZE_VARIANCE:
            return self.line
        mean_size = self.sum_size / self.weight
        mean_s = self.sum_s / self.weight
        expected_s = 0.0 if self.line is None else self.line.execution_s(mean_size)
        if self.line is not None and expected_s > 0.0:
            return self.line.scaled(mean_s / expected_s)
        # One size ever: claim nothing for batching, neither a gain by waiting nor a higher capacity.
        return ExecutionFit(0.0, mean_s / mean_size, mean_size)

    def _shown_line(self) -> ExecutionFit:
        """What batches of different sizes say."""
        mean_size = self.sum_size / self.weight
        mean_s = self.sum_s / self.weight
        per_item_s = (self.sum_size_s / self.weight - mean_size * mean_s) / self.size_variance
        fixed_s = mean_s - per_item_s * mean_size
        if per_item_s < 0.0:
            return ExecutionFit(mean_s, 0.0)
        if fixed_s < 0.0:
            return ExecutionFit(0.0, self.sum_size_s / self.sum_size_squared)
        return ExecutionFit(fixed_s, per_item_s)


class ExecutionFit(NamedTuple):
    """A batch of n items takes `fixed_s + per_item_s x n` seconds."""

    fixed_s: float
    per_item_s: float
    only_size: float | None = None  # the one size that was ever seen; then how the time depends on size is not known

    def scaled(self, ratio: float) -> ExecutionFit:
        """The same line, all of it that much slower."""
        return ExecutionFit(fixed_s=self.fixed_s * ratio, per_item_s=self.per_item_s * ratio)

    def hopeful(self) -> ExecutionFit:
        """What to try by: where only one size was seen, any size takes as long, until a second one shows better.

        The opposite guess would keep batches at that one size, and so never be corrected.
        """
        if self.only_size is None:
            return self
        return ExecutionFit(fixed_s=self.execution_s(1) * self.only_size, per_item_s=0.0)

    def execution_s(self, size: float) -> float:
        """Seconds that a batch of `size` items takes."""
        return self.fixed_s + self.per_item_s * size

    def capacity_rps(self, batch: int) -> float | None:
        """Requests per second of full batches one after the other; None if they take no measurable time."""
        full_s = self.execution_s(batch)
        return batch / full_s if full_s > 0.0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRule:
    """What bounds a batch: its size, the latency objective, and (optionally) a longest wait set by hand."""

    max_size: int = 1
    slo_s: float | None = None  # None: no objective, so only the gain bounds the wait
    max_wait_s: float | None = None  # a cap on what is learned; None: no cap

    def size_for(self, fit: ExecutionFit | None) -> int:
        """The most items that one batch should have, so that it leaves a part of the objective for waiting.

        Half would let every request wait for a whole batch before its own runs. A little more than half is better:
        admission refuses the few that come just as a batch begins, and each batch does more (up to a fifth more
        answers in time under overload, and no fewer below it). Much more, and predictions become a matter of luck.
        Where not even one item fits, size cannot help: the whole size, for the throughput.

        >>> BatchRule(max_size=16, slo_s=0.060).size_for(ExecutionFit(fixed_s=0.010, per_item_s=0.002))
        13
        """
        if fit is None or self.slo_s is None or fit.only_size is not None:
            return self.max_size
        longest_s = self.slo_s * _BATCH_RATIO
        if fit.per_item_s <= 0.0 or fit.execution_s(self.max_size) <= longest_s or fit.execution_s(1) > longest_s:
            return self.max_size
        return max(1, int((longest_s - fit.fixed_s) / fit.per_item_s + 1e-9))


def batch_wait_s(
    rule: BatchRule, *, queued: int, oldest_wait_s: float, arrival_rps: float, fit: ExecutionFit | None
) -> float:
    """How long the open batch may still wait for more items; 0 means: close it now.

    `queued` items wait, the oldest for `oldest_wait_s`; `arrival_rps` is the recent rate of arrivals. The wait is
    the learned gain, capped by `max_wait_s` and by the objective. It is 0 while nothing is learned, and where fewer
    than one arrival is expected within it, so that a lone caller is never delayed.

    >>> rule = BatchRule(max_size=8, slo_s=0.1)
    >>> fit = ExecutionFit(fixed_s=0.020, per_item_s=0.001)
    >>> batch_wait_s(rule, queued=2, oldest_wait_s=0.005, arrival_rps=200.0, fit=fit)
    0.015
    """
    size = rule.size_for(fit)
    if fit is None or queued >= size:
        return 0.0
    longest_s = fit.fixed_s if rule.max_wait_s is None else min(fit.fixed_s, rule.max_wait_s)
    if arrival_rps * longest_s < 1.0:
        return 0.0  # fewer than one companion is expected: waiting only delays
    if rule.slo_s is not None:
        longest_s = min(longest_s, rule.slo_s - fit.execution_s(size))
    return max(0.0, longest_s - oldest_wait_s)
