"""Admits a replica's requests, or refuses at once those that would be answered too late."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dilu.answer_prediction import Margin, answer_after_s, budget_s, retry_after_s
from dilu.batching import BatchRule
from dilu.errors import RequestError
from dilu.handlers import ADMIT_BY_SLO, FunctionDefinition
from dilu.runtime.execution.batch_queue import BatchQueue
from dilu.runtime.execution.jobs import Job
from dilu.spec import names


class Admission:
    """Predicts when a request would be answered, and learns how late its predictions are.

    Two limits bound a request: its client's deadline and the function's objective. An idle replica refuses nothing:
    what it learned may be stale, and only executing requests can correct it. An objective that not even a single item
    can meet refuses nothing either.
    """

    def __init__(self, definition: FunctionDefinition, rule: BatchRule, queue: BatchQueue) -> None:
        self._rule = rule
        self._queue = queue
        self._slots = definition.options.concurrency
        self._slo_s = rule.slo_s if definition.options.admission == ADMIT_BY_SLO else None
        self._is_streaming = definition.is_streaming  # the objective is for the first part, not for the end
        self.margin = Margin()

    @property
    def has_objective(self) -> bool:
        """Whether requests are refused for the objective; otherwise only their own deadline can refuse them."""
        return self._slo_s is not None

    def answered_at_s(
        self, now_s: float, *, arrived_s: float, urgency: int, deadline_s: float | None, items: int = 1
    ) -> float | None:
        """Predict when a request of `items` items will be answered, on the monotonic clock.

        Return None if nothing bounds the request or no batch has run yet. Raise `RequestError` (429) if the answer
        would come too late.
        """
        queue, fit = self._queue, self._queue.fit
        if fit is None or (self._slo_s is None and deadline_s is None):
            return None
        running, waiting = queue.running(), queue.ahead_of(urgency)
        answer_s = answer_after_s(
            self._rule,
            fit,
            ahead=waiting + items - 1,
            running=running,
            slots=self._slots,
            arrival_rps=queue.arrival_rps(now_s),
            now_s=now_s,
        )
        if not running and not waiting:
            return now_s + answer_s
        one_item_s = fit.hopeful().execution_s(1)
        if self._is_streaming:
            answer_s = max(0.0, answer_s - one_item_s)
        allowed_s = self._allowed_s(now_s, arrived_s, deadline_s, one_item_s)
        if allowed_s is not None and answer_s + self.margin.margin_s > allowed_s:
            raise _too_late(answer_s, max(0.0, allowed_s))
        return now_s + answer_s

    @property
    def is_learning(self) -> bool:
        """Whether `learn` must be called after each batch."""
        return self._slo_s is not None and not self._is_streaming

    def learn(self, jobs: Sequence[Job]) -> None:
        """Learn from a batch that was answered just now, by the promise that it missed by most."""
        promises_s = [job.promised_s for job in jobs if job.promised_s is not None]
        if promises_s and self._slo_s is not None:
            late_s = time.monotonic() - min(promises_s)
            self.margin = self.margin.learned(late_s=late_s, objective_s=self._slo_s)

    def _allowed_s(self, now_s: float, arrived_s: float, deadline_s: float | None, one_item_s: float) -> float | None:
        """Return the seconds from now within which the answer must come, or None if nothing bounds it."""
        allowed_s = None if deadline_s is None else deadline_s - now_s
        if self._slo_s is not None and one_item_s + self.margin.margin_s < (budget := budget_s(self._slo_s)):
            by_slo_s = arrived_s + budget - now_s
            allowed_s = by_slo_s if allowed_s is None else min(allowed_s, by_slo_s)
        return allowed_s


def _too_late(answer_s: float, allowed_s: float) -> RequestError:
    return RequestError(
        429,
        "deadline",
        f"the answer would take {answer_s * 1000.0:.0f} ms, {allowed_s * 1000.0:.0f} ms are left",
        retry_after_s=retry_after_s(answer_s, allowed_s),
        refused=names.REFUSED_DEADLINE,
    )
