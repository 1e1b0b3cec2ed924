"""When to close a batch, and how long a batch takes: pure rules that the runtime and the simulator share.

Execution time is modelled as `fixed + per_item x n` and learned from the batches that ran. Waiting for one more item
saves that item at most the fixed part, so an open batch never waits longer than that, nor past the point where its
oldest request would miss its objective, and it does not wait at all when no arrival is expected in that time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

# Weight that earlier batches keep at each new one: about the last 50 batches count.
_MEMORY_RATIO = 0.98
# With a smaller variance of batch sizes the cost per item cannot be fitted.
_MIN_SIZE_VARIANCE = 0.01
# Share of the objective for which one batch may run.
_BATCH_RATIO = 0.6


class ExecutionModel(NamedTuple):
    """Learned execution time of a batch: decayed sums of a least-squares fit of seconds over batch size.

    A tuple, as is the fit: one of each is made for every batch, and a frozen dataclass takes six times as long.
    """

    weight: float = 0.0
    sum_size: float = 0.0
    sum_size_squared: float = 0.0
    sum_s: float = 0.0
    sum_size_s: float = 0.0
    batches: int = 0
    line: ExecutionFit | None = None  # the last fit over different sizes

    def learned(self, size: int, execution_s: float) -> ExecutionModel:
        """Return the model after one more batch of `size` items that took `execution_s`."""
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
        return model if model.size_variance < _MIN_SIZE_VARIANCE else model._replace(line=model._fitted_line())

    @property
    def size_variance(self) -> float:
        """The weighted variance of the batch sizes; 0 before the first batch."""
        if not self.batches:
            return 0.0
        mean_size = self.sum_size / self.weight
        return self.sum_size_squared / self.weight - mean_size * mean_size

    def fit(self) -> ExecutionFit | None:
        """Return the fitted line, or None before the first batch."""
        if self.batches == 0:
            return None
        if self.size_variance >= _MIN_SIZE_VARIANCE:
            return self.line
        mean_size = self.sum_size / self.weight
        mean_s = self.sum_s / self.weight
        expected_s = 0.0 if self.line is None else self.line.execution_s(mean_size)
        if self.line is not None and expected_s > 0.0:
            return self.line.scaled(mean_s / expected_s)
        # Only one size was seen: claim neither a gain by waiting nor a higher capacity.
        return ExecutionFit(0.0, mean_s / mean_size, mean_size)

    def _fitted_line(self) -> ExecutionFit:
        """Return the least-squares line, clipped to a fixed part and a cost per item that are not negative."""
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
    only_size: float | None = None  # the only size seen so far; then the time as a function of size is unknown

    def scaled(self, ratio: float) -> ExecutionFit:
        """Return the line with both parts multiplied by `ratio`."""
        return ExecutionFit(fixed_s=self.fixed_s * ratio, per_item_s=self.per_item_s * ratio)

    def hopeful(self) -> ExecutionFit:
        """Return the fit to plan by: while only one size was seen, every size is assumed to take as long.

        The opposite assumption would keep batches at that one size, and so would never be corrected.
        """
        if self.only_size is None:
            return self
        return ExecutionFit(fixed_s=self.execution_s(1) * self.only_size, per_item_s=0.0)

    def execution_s(self, size: float) -> float:
        """Return the seconds that a batch of `size` items takes."""
        return self.fixed_s + self.per_item_s * size

    def capacity_rps(self, batch: int) -> float | None:
        """Return the requests per second of full batches back to back; None if they take no measurable time."""
        full_s = self.execution_s(batch)
        return batch / full_s if full_s > 0.0 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRule:
    """The bounds of a batch: its size, the latency objective and, optionally, a maximum wait."""

    max_size: int = 1
    slo_s: float | None = None  # None: no objective, so only the gain bounds the wait
    max_wait_s: float | None = None  # a cap on what is learned; None: no cap

    def size_for(self, fit: ExecutionFit | None) -> int:
        """Return the maximum size of a batch that leaves a part of the objective for waiting.

        If a batch took half of the objective, every request could wait for a whole batch before its own. A little
        more than half is better: admission refuses the few requests that come just as a batch begins, and each batch
        does more (up to a fifth more answers in time under overload, and no fewer below it). With much more,
        predictions become unreliable. Where not even one item fits, size cannot help: `max_size`, for throughput.

        >>> BatchRule(max_size=16, slo_s=0.060).size_for(ExecutionFit(fixed_s=0.010, per_item_s=0.002))
        13
        """
        if fit is None or self.slo_s is None or fit.only_size is not None:
            return self.max_size
        max_s = self.slo_s * _BATCH_RATIO
        if fit.per_item_s <= 0.0 or fit.execution_s(self.max_size) <= max_s or fit.execution_s(1) > max_s:
            return self.max_size
        return max(1, int((max_s - fit.fixed_s) / fit.per_item_s + 1e-9))


def batch_wait_s(
    rule: BatchRule, *, queued: int, oldest_wait_s: float, arrival_rps: float, fit: ExecutionFit | None
) -> float:
    """Return how long the open batch may still wait for more items; 0 closes it now.

    `queued` items wait, the oldest for `oldest_wait_s`; `arrival_rps` is the recent rate of arrivals. The wait is
    the learned gain, capped by `max_wait_s` and by the objective. It is 0 before the first batch, and where fewer
    than one arrival is expected within it, so that a lone caller is never delayed.

    >>> rule = BatchRule(max_size=8, slo_s=0.1)
    >>> fit = ExecutionFit(fixed_s=0.020, per_item_s=0.001)
    >>> batch_wait_s(rule, queued=2, oldest_wait_s=0.005, arrival_rps=200.0, fit=fit)
    0.015
    """
    size = rule.size_for(fit)
    if fit is None or queued >= size:
        return 0.0
    wait_s = fit.fixed_s if rule.max_wait_s is None else min(fit.fixed_s, rule.max_wait_s)
    if arrival_rps * wait_s < 1.0:
        return 0.0  # less than one arrival is expected: waiting would only delay
    if rule.slo_s is not None:
        wait_s = min(wait_s, rule.slo_s - fit.execution_s(size))
    return max(0.0, wait_s - oldest_wait_s)
