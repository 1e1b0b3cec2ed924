"""Lets a replica's requests in, or refuses them at once: those that would be answered too late."""

from __future__ import annotations

import time
from collections.abc import Sequence

from dilu.admission import Margin, answer_after_s, budget_s, retry_after_s
from dilu.batching import BatchRule, ExecutionFit
from dilu.errors import RequestError
from dilu.handlers import ADMIT_BY_SLO, FunctionDefinition
from dilu.runtime.execution.batch_queue import BatchQueue
from dilu.runtime.execution.jobs import Job
from dilu.spec import names


class AdmissionDesk:
    """Predicts when a request would be answered, and learns by how much such predictions are wrong.

    Two things bound a request: the deadline that its client gave, and the function's objective. An idle replica
    refuses nothing: what was learned may be stale, and only work can correct it. An objective that not even a single
    item can meet refuses nothing either.
    """

    def __init__(self, definition: FunctionDefinition, rule: BatchRule, queue: BatchQueue) -> None:
        self._rule = rule
        self._queue = queue
        self._slots = definition.options.concurrency
        self._slo_s = rule.slo_s if definition.options.admission == ADMIT_BY_SLO else None
        self._is_streaming = definition.is_streaming  # then its objective is for the first part, not for the end
        self.margin = Margin()

    def check(self, now_s: float, urgency: int, deadline_s: float | None) -> None:
        """Raise `RequestError` (429) if a request that came now would be answered too late."""
        fit = self._queue.fit
        if fit is not None and (self._slo_s is not None or deadline_s is not None):
            self._answer_s(fit, now_s, now_s, urgency, deadline_s, items=1)

    def promise(self, now_s: float, jobs: Sequence[Job]) -> None:
        """Note when the jobs of one request will be answered. Raises `RequestError` (429) if that is too late."""
        job, fit = jobs[0], self._queue.fit
        if fit is not None and (self._slo_s is not None or job.deadline_s is not None):
            answer_s = self._answer_s(fit, now_s, job.arrived_s, job.urgency, job.deadline_s, items=len(jobs))
            if self.is_learning:
                jobs[-1].promised_s = now_s + answer_s

    @property
    def is_needed(self) -> bool:
        """Whether requests are refused for the objective: else only a deadline of their own can do it."""
        return self._slo_s is not None

    @property
    def is_learning(self) -> bool:
        """Whether `kept` wants to hear of each batch."""
        return self._slo_s is not None and not self._is_streaming

    def kept(self, jobs: Sequence[Job]) -> None:
        """Learn from a batch that was answered now: from the promise that it kept worst."""
        promises_s = [job.promised_s for job in jobs if job.promised_s is not None]
        if promises_s and self._slo_s is not None:
            late_s = time.monotonic() - min(promises_s)
            self.margin = self.margin.learned(late_s=late_s, objective_s=self._slo_s)

    def _answer_s(
        self, fit: ExecutionFit, now_s: float, arrived_s: float, urgency: int, deadline_s: float | None, *, items: int
    ) -> float:
        queue = self._queue
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
            return answer_s
        if self._is_streaming:
            answer_s = max(0.0, answer_s - fit.hopeful().execution_s(1))
        allowed_s = self._allowed_s(now_s, arrived_s, deadline_s, fit.hopeful().execution_s(1))
        if allowed_s is not None and answer_s + self.margin.margin_s > allowed_s:
            raise _too_late(answer_s, max(0.0, allowed_s))
        return answer_s

    def _allowed_s(self, now_s: float, arrived_s: float, deadline_s: float | None, least_s: float) -> float | None:
        """Seconds from now within which the answer must come, or None if nothing bounds it."""
        allowed_s = None if deadline_s is None else deadline_s - now_s
        if self._slo_s is not None and least_s + self.margin.margin_s < (budget := budget_s(self._slo_s)):
            by_slo_s = arrived_s + budget - now_s
            allowed_s = by_slo_s if allowed_s is None else min(allowed_s, by_slo_s)
        return allowed_s


def _too_late(answer_s: float, allowed_s: float) -> RequestError:
    return RequestError(
        429,
        "deadline",
        f"it would be answered after {answer_s * 1000.0:.0f} ms, {allowed_s * 1000.0:.0f} ms are left",
        retry_after_s=retry_after_s(answer_s, allowed_s),
        refused=names.REFUSED_DEADLINE,
    )
