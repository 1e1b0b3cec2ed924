"""Admission, execution and answers of requests: the part of a replica that knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any

from dilu.batching import BatchRule, ExecutionModel
from dilu.errors import ItemError, RequestError
from dilu.handlers import FunctionDefinition
from dilu.http.answers import ClientGoneError
from dilu.runtime.codec import ItemCodec
from dilu.runtime.execution.admission import Admission
from dilu.runtime.execution.batch_queue import BatchQueue, Dropped
from dilu.runtime.execution.handler_calls import Handler
from dilu.runtime.execution.jobs import BatchOutcome, Job
from dilu.runtime.execution.server_cost import ServerCost
from dilu.runtime.execution.workers import LoopWorkers, ThreadWorkers, Workers
from dilu.runtime.reporting.metrics import FunctionMetrics
from dilu.spec import names

_log = logging.getLogger(__name__)


class State(StrEnum):
    """The phases of a replica's life."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


def starting_error() -> RequestError:
    """Return the error for a request that arrives before the model is loaded."""
    return RequestError(503, "starting", "the model is loading", retry_after_s=1, refused=names.REFUSED_STARTING)


class FunctionService:
    """Runs one function. All of it but the workers' threads runs on the event loop that created it."""

    def __init__(
        self,
        definition: FunctionDefinition,
        metrics: FunctionMetrics,
        *,
        on_phase: Callable[[str, float], None] = lambda phase, seconds: None,
    ) -> None:
        self.definition = definition
        self.metrics = metrics
        self.state = State.STARTING
        self.model = ExecutionModel()
        self._loop = asyncio.get_running_loop()
        self._on_phase = on_phase
        self._server_cost = ServerCost(time.thread_time())
        self._outcomes: deque[BatchOutcome] = deque()
        self._answers_pending = False
        spec, options = definition.spec, definition.options
        rule = BatchRule(
            max_size=definition.max_batch,
            slo_s=spec.slo_s,
            max_wait_s=None if options.max_wait_ms is None else options.max_wait_ms / 1000.0,
        )
        self.timeout_s = options.timeout_s
        codec = ItemCodec(definition.item_type)
        self.decode, self.convert = codec.decode, codec.convert
        self.on_call: Callable[[Any, int], None] | None = None  # (call, status): set by a tracer
        self.queue = BatchQueue(
            rule,
            capacity=definition.queue_size,
            on_put=self._wake if definition.is_async else None,
            on_drop=self._dropped,
        )
        self.admission = Admission(definition, rule, self.queue)
        metrics.queue_depth = self.queue.__len__
        worker_class = LoopWorkers if definition.is_async else ThreadWorkers
        self._workers: Workers = worker_class(
            Handler(definition),
            self.queue,
            on_batch=self._batch_ran,
            on_phase=self._phase_ended,
            on_warm=self._warmed,
        )

    async def load(self) -> None:
        """Load the handler and warm it up, then accept requests. Raise what the handler raises."""
        self._workers.start()
        await asyncio.wrap_future(self._workers.loaded)
        self.state = State.READY

    async def ended(self) -> None:
        """Wait until the handler's threads have ended. Raise the error if they ended before a drain."""
        await asyncio.shield(asyncio.wrap_future(self._workers.ended))

    def new_answer(self) -> asyncio.Future[Any]:
        """Return the future of one job's answer."""
        return self._loop.create_future()

    def check_room(self, urgency: int, deadline_s: float | None) -> None:
        """Raise `RequestError` (429, 503) if a request that arrived now would be refused."""
        if self.state is State.STARTING:
            raise starting_error()
        waiting = len(self.queue)
        if waiting >= self.queue.capacity and waiting == self.queue.ahead_of(urgency):
            raise self._refusal()
        if self.admission.has_objective or deadline_s is not None:
            now_s = time.monotonic()
            self.admission.answered_at_s(now_s, arrived_s=now_s, urgency=urgency, deadline_s=deadline_s)

    def check_count(self, items: int) -> None:
        """Raise `RequestError` (413) for a request with more items than the queue holds, before they are decoded."""
        max_items = self.queue.capacity
        if items > max_items:
            raise RequestError(413, "too-many-items", f"{items} items in one request, at most {max_items} are accepted")

    def admit(self, jobs: Sequence[Job]) -> None:
        """Put the jobs of one request, which are equally urgent, into the queue: all of them or none.

        Raise `RequestError` (429, 503) if they are refused.
        """
        job = jobs[0]
        deadline_s = job.deadline_s
        if self.admission.has_objective or deadline_s is not None:
            answered_at_s = self.admission.answered_at_s(
                time.monotonic(),
                arrived_s=job.arrived_s,
                urgency=job.urgency,
                deadline_s=deadline_s,
                items=len(jobs),
            )
            if self.admission.is_learning:
                jobs[-1].promised_s = answered_at_s
        if not self.queue.put(jobs):
            raise self._refusal()
        if deadline_s is not None:
            for job in jobs:
                self._expire_at(job, deadline_s)

    def _expire_at(self, job: Job, deadline_s: float) -> None:
        expiry = self._loop.call_at(deadline_s, _expire, job)
        job.answer.add_done_callback(lambda _: expiry.cancel())

    def start_draining(self) -> None:
        """Tell clients from now on to leave; requests that still arrive are served."""
        self.state = State.DRAINING

    async def close(self, timeout_s: float) -> bool:
        """Accept nothing more, finish what waits, unload. Return whether that took at most `timeout_s`."""
        self.state = State.DRAINING
        self.queue.close()
        try:
            await asyncio.wait_for(self.ended(), timeout_s)
        except TimeoutError:
            return False
        except Exception:
            _log.exception("unload of %s failed", self.definition.spec.name)
        return True

    def learned_rps(self) -> float | None:
        """Return the requests per second that this replica sustains, as learned; None before the first batch.

        That is full batches back to back in each concurrent call, or what its own server sustains if that is less.
        """
        fit = self.model.fit()
        one_rps = None if fit is None else fit.capacity_rps(self.queue.rule.size_for(fit))
        if one_rps is None:
            return None
        return min(one_rps * self.definition.options.concurrency, self._server_cost.limit_rps or math.inf)

    def traced(self, call: Any, status: int) -> None:
        """Tell the tracer, if there is one, that a call was answered."""
        if self.on_call is not None:
            self.on_call(call, status)

    def stats(self, replica: str | None) -> dict[str, Any]:
        """Return the body of `/v1/stats`."""
        now_s = time.monotonic()
        self._server_cost.update(self.metrics.arrival_count, time.thread_time())
        fit, oldest_s = self.model.fit(), self.queue.oldest_arrival_s()
        metrics = self.metrics
        return {
            "function": self.definition.spec.name,
            "replica": replica,
            "state": self.state.value,
            "window_s": 1.0,
            "arrivals_rps": metrics.arrivals.per_second(now_s),
            "refused_rps": metrics.refusals.per_second(now_s),
            "completed_rps": metrics.completions.per_second(now_s),
            "in_flight": metrics.in_flight,
            "queue_depth": len(self.queue),
            "oldest_wait_s": 0.0 if oldest_s is None else max(0.0, now_s - oldest_s),
            "batch_size_mean": metrics.batch_size_mean(),
            "execution": {
                "fixed_s": None if fit is None else fit.fixed_s,
                "per_item_s": None if fit is None else fit.per_item_s,
                "batches": self.model.batches,
            },
            "learned_rps": self.learned_rps(),
            "max_in_flight": self.definition.max_in_flight,
            "totals": metrics.totals(),
        }

    def _refusal(self) -> RequestError:
        if self.state is State.DRAINING:
            return RequestError(
                503, "draining", "this replica is stopping", retry_after_s=1, refused=names.REFUSED_DRAINING
            )
        waiting = len(self.queue)
        learned_rps = self.learned_rps()
        retry_after_s = 1 if learned_rps is None else max(1, math.ceil(waiting / learned_rps))
        message = f"the queue is full: {waiting} requests wait"
        return RequestError(429, "queue-full", message, retry_after_s=retry_after_s, refused=names.REFUSED_QUEUE_FULL)

    def _wake(self) -> None:
        self._workers.wake()

    # -- called from the handler's threads

    def _phase_ended(self, phase: str, seconds: float) -> None:
        self._loop.call_soon_threadsafe(self._on_phase, phase, seconds)

    def _warmed(self, size: int, execution_s: float) -> None:
        self._loop.call_soon_threadsafe(self._learn, size, execution_s)

    def _dropped(self, job: Job, why: Dropped) -> None:
        self._loop.call_soon_threadsafe(_give_up, job, why)

    def _batch_ran(self, outcome: BatchOutcome) -> None:
        self._outcomes.append(outcome)
        if not self._answers_pending:  # outcomes that end together share one wake-up of the loop
            self._answers_pending = True
            self._loop.call_soon_threadsafe(self._answer_all)

    # -- on the server's loop

    def _learn(self, size: int, execution_s: float) -> None:
        self.model = self.model.learned(size, execution_s)
        self.queue.fit = self.model.fit()

    def _answer_all(self) -> None:
        self._answers_pending = False  # first, so that an outcome that comes now wakes the loop again
        outcomes = self._outcomes
        while outcomes:
            outcome = outcomes.popleft()
            try:
                self._answer(outcome)
            except Exception as error:  # every job of the batch must get an answer
                self._fail(replace(outcome, error=error, results=None))

    def _answer(self, outcome: BatchOutcome) -> None:
        execution_s = outcome.finished_s - outcome.started_s - outcome.jobs[0].paused_s
        self.queue.finished(outcome.jobs)
        self.metrics.ran_batch(len(outcome.jobs), execution_s)
        if outcome.error is not None or outcome.results is None:
            self._fail(outcome)
            return
        was_cut = self.definition.is_streaming and any(job.parts and job.parts.is_cut for job in outcome.jobs)
        if not was_cut:  # a stream that was cut ran less than a whole one
            self._learn(len(outcome.jobs), execution_s)
        for job, result in zip(outcome.jobs, outcome.results, strict=True):
            self._stamp(job, outcome)
            _expire_if_late(job)
            if job.answer.done():  # its client may have disconnected
                continue
            if isinstance(result, BaseException):
                job.answer.set_exception(self._item_error(job, result))
            else:
                job.answer.set_result(result)
        if self.admission.is_learning:
            self._loop.call_soon(self.admission.learn, outcome.jobs)  # by then the answers are written

    @staticmethod
    def _stamp(job: Job, outcome: BatchOutcome) -> None:
        job.started_s, job.finished_s, job.batch_size = outcome.started_s, outcome.finished_s, len(outcome.jobs)

    def _item_error(self, job: Job, error: BaseException) -> RequestError:
        """Return the error for the client of one failed item; only texts that authors wrote for clients are quoted."""
        if isinstance(error, ItemError):
            return error.with_traceback(
                None
            )  # the handler may raise one object again and again, and its frames hold requests
        _log.error(
            "%s failed for one item of a batch",
            self.definition.spec.name,
            exc_info=error,
            extra={"request_ids": [job.request_id]},
        )
        return _handler_failed(error)

    def _fail(self, outcome: BatchOutcome) -> None:
        error = outcome.error
        if isinstance(error, ItemError):
            answer: RequestError = error.with_traceback(None)
        elif isinstance(error, asyncio.CancelledError):
            answer = _handler_failed(error)  # it was cancelled because no client waits for it
        else:
            _log.error(
                "%s failed for a batch of %d",
                self.definition.spec.name,
                len(outcome.jobs),
                exc_info=error,
                extra={"request_ids": [job.request_id for job in outcome.jobs]},
            )
            answer = _handler_failed(error)
        for job in outcome.jobs:
            self._stamp(job, outcome)
            _expire_if_late(job)
            if not job.answer.done():
                job.answer.set_exception(answer)


def _handler_failed(error: BaseException | None) -> RequestError:
    # Not the error's text: it may quote an item that another client sent in the same batch.
    message = f"the function raised {type(error).__name__}; its log says more under this request's id"
    return RequestError(500, "handler-failed", message)


def _give_up(job: Job, why: Dropped) -> None:
    if job.answer.done():
        return
    if why is Dropped.ABANDONED:
        job.answer.set_exception(ClientGoneError())
    elif why is Dropped.EXPIRED:
        job.answer.set_exception(_expired())
    else:
        message = "a more urgent request took its place in the queue"
        job.answer.set_exception(
            RequestError(429, "displaced", message, retry_after_s=1, refused=names.REFUSED_DISPLACED)
        )


def _expire(job: Job) -> None:
    if not job.answer.done():
        if job.parts is not None:
            job.parts.cut()
        job.answer.set_exception(_expired())


def _expire_if_late(job: Job) -> None:
    """Expire a job that finished late; a handler that watches the deadline may return before the loop's timer."""
    if job.deadline_s is not None and job.finished_s >= job.deadline_s:
        _expire(job)


def _expired() -> RequestError:
    return RequestError(504, "deadline-exceeded", "the request's deadline passed before its answer was ready")
