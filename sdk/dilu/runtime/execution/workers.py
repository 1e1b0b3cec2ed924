"""The threads that run handlers: sync ones in threads, async ones on a loop of their own, never on the server's."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future, InvalidStateError
from typing import Any

import uvloop

from dilu.context import Context
from dilu.errors import LoadError
from dilu.runtime.execution.batch_queue import BatchQueue
from dilu.runtime.execution.handler_calls import Handler, finish
from dilu.runtime.execution.jobs import BatchOutcome, Job
from dilu.runtime.execution.streams import POLL_S, PartStream
from dilu.runtime.logs import current_request_ids
from dilu.spec import names

_WARM_UP_STEPS = 1_000  # of a stream: enough to be warm
_FORGOTTEN_POLL_S = 0.1  # between checks for calls of async handlers that no client waits for

OnBatch = Callable[[BatchOutcome], None]
OnPhase = Callable[[str, float], None]  # (phase, seconds), called as each phase ends
OnWarm = Callable[[int, float], None]  # (batch size, seconds) of each warm-up batch


class Workers(ABC):
    """Loads the handler, runs batches until the queue is closed and drained, unloads.

    Load, warm-up, calls and unload of a sync handler with `concurrency=1` share one thread, since libraries
    keep state per thread (torch's gradient mode is one). `loaded` and `ended` are resolved from that thread.
    """

    def __init__(
        self, handler: Handler, queue: BatchQueue, *, on_batch: OnBatch, on_phase: OnPhase, on_warm: OnWarm
    ) -> None:
        self._handler = handler
        self._queue = queue
        self._on_batch = on_batch
        self._on_phase = on_phase
        self._on_warm = on_warm
        self.loaded: Future[None] = Future()
        self.ended: Future[None] = Future()

    def start(self) -> None:
        """Start loading, in a thread."""
        self._start_thread(self._main, "dilu-handler")

    @abstractmethod
    def wake(self) -> None:
        """Tell the workers that the queue has a new job."""

    @abstractmethod
    def _run(self) -> None:
        """Load, resolve `loaded`, run batches to the end, unload."""

    def _main(self) -> None:
        self._run()
        self.ended.set_result(None)

    def _hand_on(self, jobs: list[Job], parts: list[Any]) -> list[PartStream]:
        """Give each stream its part of one step. Return the streams whose clients are behind."""
        none_is_no_part = self._handler.definition.is_batched
        streams = []
        for job, part in zip(jobs, parts, strict=True):
            assert job.parts is not None  # jobs of a streaming handler have one
            if not (none_is_no_part and part is None):
                job.parts.put(part)
            streams.append(job.parts)
        return [stream for stream in streams if stream.is_behind]

    def _start_thread(self, body: Callable[[], None], name: str) -> threading.Thread:
        thread = threading.Thread(target=self._guarded, args=(body,), name=name, daemon=True)
        thread.start()
        return thread

    def _guarded(self, body: Callable[[], None]) -> None:
        """Run a thread's body; if it raises, fail `loaded` or `ended`, for which the replica waits."""
        try:
            body()
        except BaseException as error:
            awaited = self.ended if self.loaded.done() else self.loaded
            with contextlib.suppress(InvalidStateError):  # another thread failed first
                awaited.set_exception(_ordinary(error))


def _ordinary(error: BaseException) -> Exception:
    """Return the error as one that a future can hold; `sys.exit()` in `load` must not end the process silently."""
    odd = not isinstance(error, Exception) or isinstance(error, (StopIteration, CancelledError))
    if not odd:
        assert isinstance(error, Exception)
        return error
    wrapped = LoadError(f"it raised {type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped


def _arguments(jobs: list[Job]) -> tuple[list[Any], list[Context] | None]:
    """Return the items, and the contexts if the handler takes them: either all jobs have one or none has."""
    if jobs[0].context is None:
        return [job.item for job in jobs], None
    return [job.item for job in jobs], [job.context for job in jobs if job.context is not None]


def _pause(jobs: list[Job], stream: PartStream, seconds: float) -> None:
    stream.paused(seconds)
    jobs[0].paused_s += seconds


def _warm_enough() -> Callable[[list[Any]], bool]:
    """Return a receiver of warm-up parts that ends an endless stream after `_WARM_UP_STEPS` parts."""
    steps = itertools.count(1)
    return lambda parts: next(steps) < _WARM_UP_STEPS


def _warm_enough_async() -> Callable[[list[Any]], Awaitable[bool]]:
    is_enough = _warm_enough()

    async def take(parts: list[Any]) -> bool:
        return is_enough(parts)

    return take


class ThreadWorkers(Workers):
    """`concurrency` threads, each running one call of a sync handler at a time."""

    def wake(self) -> None:
        """Do nothing: the queue wakes the threads that wait in it."""

    def _run(self) -> None:
        started_s = time.monotonic()
        finish(self._handler.load())
        loaded_s = time.monotonic()
        self._on_phase(names.PHASE_LOAD, loaded_s - started_s)
        for items in self._handler.warm_up_batches():
            began_s = time.monotonic()
            contexts = self._handler.warm_up_contexts(len(items))
            if self._handler.definition.is_streaming:
                self._handler.stream(items, contexts, _warm_enough())
            else:
                self._handler.run(items, contexts)
            self._on_warm(len(items), time.monotonic() - began_s)
        self._on_phase(names.PHASE_WARMUP, time.monotonic() - loaded_s)
        self.loaded.set_result(None)
        concurrency = self._handler.definition.options.concurrency
        others = [self._start_thread(self._run_batches, f"dilu-handler-{number}") for number in range(1, concurrency)]
        self._run_batches()
        for thread in others:
            thread.join()
        current_request_ids.set([])
        finish(self._handler.unload())

    def _run_batches(self) -> None:
        while jobs := self._queue.take():
            self._on_batch(self._call(jobs))

    def _call(self, jobs: list[Job]) -> BatchOutcome:
        current_request_ids.set([job.request_id for job in jobs])
        results: list[Any] | None = None
        error: BaseException | None = None
        started_s = time.monotonic()
        try:
            if self._handler.definition.is_streaming:
                self._handler.stream(*_arguments(jobs), lambda parts: self._deliver(jobs, parts))
                results = [None] * len(jobs)
            else:
                results = self._handler.run(*_arguments(jobs))
        except BaseException as raised:  # a handler that calls sys.exit() must not end the worker
            error = raised
        return BatchOutcome(jobs=jobs, started_s=started_s, finished_s=time.monotonic(), results=results, error=error)

    def _deliver(self, jobs: list[Job], parts: list[Any]) -> bool:
        """Pass the parts on and wait for slow readers. Return whether a client still listens."""
        for stream in self._hand_on(jobs, parts):
            while stream.is_behind:
                began_s = time.monotonic()
                time.sleep(POLL_S)
                _pause(jobs, stream, time.monotonic() - began_s)
        return not all(job.is_stopped for job in jobs)


class LoopWorkers(Workers):
    """One thread with a loop of its own, on which `concurrency` calls of an async handler run at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[asyncio.Task[None], list[Job]] = {}
        self._forgotten_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._drained: asyncio.Event | None = None
        self._wake_pending = False

    def wake(self) -> None:
        """Make the handler's loop check the queue; puts before it does so share one wake-up."""
        loop = self._loop
        if loop is not None and not self._wake_pending:
            self._wake_pending = True
            loop.call_soon_threadsafe(self._pump)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        started_s = time.monotonic()
        hook = self._handler.load()
        if hook is not None:
            await hook
        loaded_s = time.monotonic()
        self._on_phase(names.PHASE_LOAD, loaded_s - started_s)
        for items in self._handler.warm_up_batches():
            began_s = time.monotonic()
            contexts = self._handler.warm_up_contexts(len(items))
            if self._handler.definition.is_streaming:
                await self._handler.stream_async(items, contexts, _warm_enough_async())
            else:
                await self._handler.run_async(items, contexts)
            self._on_warm(len(items), time.monotonic() - began_s)
        self._on_phase(names.PHASE_WARMUP, time.monotonic() - loaded_s)
        self._drained = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.loaded.set_result(None)
        self._pump()  # for jobs that came before `_loop` was set
        await self._drained.wait()
        hook = self._handler.unload()
        if hook is not None:
            await hook

    def _pump(self) -> None:
        """Start the batches that may start now, and set a timer for one that may start later."""
        self._wake_pending = False
        assert self._loop is not None
        assert self._drained is not None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while len(self._running) < self._handler.definition.options.concurrency:
            jobs, wait_s = self._queue.poll()
            if jobs:
                task = self._loop.create_task(self._call(jobs))
                self._running[task] = jobs
                if self._forgotten_timer is None:
                    self._forgotten_timer = self._loop.call_later(_FORGOTTEN_POLL_S, self._stop_forgotten)
                task.add_done_callback(self._finished)
                continue
            if wait_s is not None:
                self._timer = self._loop.call_later(wait_s, self._pump)
            break
        if self._queue.is_drained and not self._running:
            self._drained.set()

    def _stop_forgotten(self) -> None:
        """Cancel the calls that no client waits for: they would hold their slots."""
        assert self._loop is not None
        for task, jobs in list(self._running.items()):
            if all(job.is_forgotten for job in jobs):
                task.cancel()
        self._forgotten_timer = (
            self._loop.call_later(_FORGOTTEN_POLL_S, self._stop_forgotten) if self._running else None
        )

    def _finished(self, task: asyncio.Task[None]) -> None:
        jobs = self._running.pop(task)
        if task.cancelled():  # before its first step, so that `_call` could not report it
            now_s = time.monotonic()
            error = asyncio.CancelledError()
            self._on_batch(BatchOutcome(jobs=jobs, started_s=now_s, finished_s=now_s, results=None, error=error))
        if len(self._queue) or self._queue.is_closed:
            self._pump()

    async def _call(self, jobs: list[Job]) -> None:
        current_request_ids.set([job.request_id for job in jobs])
        results: list[Any] | None = None
        error: BaseException | None = None
        started_s = time.monotonic()
        try:
            if self._handler.definition.is_streaming:
                await self._handler.stream_async(*_arguments(jobs), lambda parts: self._deliver(jobs, parts))
                results = [None] * len(jobs)
            else:
                results = await self._handler.run_async(*_arguments(jobs))
        except BaseException as raised:
            error = raised
        self._on_batch(
            BatchOutcome(jobs=jobs, started_s=started_s, finished_s=time.monotonic(), results=results, error=error)
        )

    async def _deliver(self, jobs: list[Job], parts: list[Any]) -> bool:
        for stream in self._hand_on(jobs, parts):
            while stream.is_behind:
                began_s = time.monotonic()
                await asyncio.sleep(POLL_S)
                _pause(jobs, stream, time.monotonic() - began_s)
        return not all(job.is_stopped for job in jobs)
