"""The open-loop generator: every request is sent at its time, whatever the outcome of earlier ones.

A generator that waits for an answer before it sends again sends nothing while the server stalls, so the stall shows in
one latency instead of in those of all callers (coordinated omission). Here latency counts from the time at which a
request was *due*. If the generator itself is late, because the machine is busy or `max_in_flight` requests are out,
the delay counts as latency and is also reported as send lag.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dilu.load.failures import failure_kind
from dilu.load.plan import LoadPlan, target
from dilu.load.results import INTERRUPTED, LoadResult, Record
from dilu.spec.names import HEADER_REQUEST_ID

if TYPE_CHECKING:  # aiohttp takes a third of a second to import
    from aiohttp import ClientSession


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadProgress:
    """The progress of a run."""

    elapsed_s: float
    duration_s: float  # of the arrivals
    ok: int
    failed: int
    in_flight: int
    behind_s: float  # how long the next request is overdue


def run_load_sync(plan: LoadPlan) -> LoadResult:
    """Run `plan` and return its result, for callers without an event loop."""
    return asyncio.run(run_load(plan))


async def run_load(
    plan: LoadPlan,
    *,
    stop: asyncio.Event | None = None,
    on_progress: Callable[[LoadProgress], None] | None = None,
    progress_every_s: float = 1.0,
) -> LoadResult:
    """Run `plan` and return its result; if `stop` is set before the end, the result until then."""
    async with _session(plan) as session:
        run = _LoadRun(plan, session)
        work = asyncio.create_task(run.send_all())
        stopped = asyncio.create_task((stop or asyncio.Event()).wait())
        ticking = asyncio.create_task(_tick(run, on_progress, progress_every_s))
        try:
            watched = {work, stopped, ticking} if on_progress is not None else {work, stopped}
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            if ticking.done():
                ticking.result()  # raises what the callback raised
            return work.result() if work.done() else run.interrupted()
        finally:
            await _cancel([work, stopped, ticking, *run.tasks])


def unreachable_reason(url: str, *, timeout_s: float = 5.0) -> str | None:
    """Return why no TCP connection to `url` is possible; None if one was made. Nothing is sent."""
    parts = target(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), timeout=timeout_s).close()
    except TimeoutError:
        return f"no connection within {timeout_s:g} s"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    except UnicodeError as error:  # not a valid host name
        return str(error)
    return None


class _LoadRun:
    """A run in progress: sends requests and records them."""

    def __init__(self, plan: LoadPlan, session: ClientSession) -> None:
        from yarl import URL

        self.tasks: set[asyncio.Task[None]] = set()
        self._plan = plan
        self._session = session
        self._url = URL(plan.url)
        self._id_prefix = f"load-{os.urandom(4).hex()}"
        self._slots = asyncio.Semaphore(plan.max_in_flight)
        self._slot_waits = 0
        self._arrivals = enumerate(plan.due_times_s())
        self._next: tuple[int, float] | None = None  # index and due time of the next request
        self._open: dict[int, tuple[float, float | None]] = {}  # due and sent times of requests in flight, by index
        self._records: list[Record] = []
        self._ok = 0
        self._closed = False
        self._started_unix_s = time.time()
        self._start_s = time.perf_counter()

    def now_s(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self._start_s

    async def send_all(self) -> LoadResult:
        """Send all requests. Return the result when the arrivals are over and every request has ended."""
        bodies = self._plan.bodies()
        for index, due_s in self._arrivals:
            self._next = (index, due_s)
            while (left_s := due_s - self.now_s()) > 0.0:
                await asyncio.sleep(left_s)
            self._slot_waits += self._slots.locked()
            await self._slots.acquire()
            self._open[index] = (due_s, None)
            task = asyncio.create_task(self._send(index, due_s, next(bodies)))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)
            self._next = None
            await asyncio.sleep(0)  # send it before the next one, even if that is due as well
        while (left_s := self._plan.arrivals.duration_s - self.now_s()) > 0.0:
            await asyncio.sleep(left_s)  # a quiet end is part of the run, like a quiet start
        while self.tasks:
            await asyncio.wait(self.tasks)
        return self._result(stopped=False)

    async def _send(self, index: int, due_s: float, body: bytes | None) -> None:
        """Send one request and read its answer to the last byte."""
        request_id = self._request_id(index)
        status, error, received = None, None, 0
        sent_s = self.now_s()
        self._open[index] = (due_s, sent_s)
        try:
            async with self._session.request(
                self._plan.verb, self._url, data=body, headers={HEADER_REQUEST_ID: request_id}, allow_redirects=False
            ) as response:
                status = response.status
                async for chunk in response.content.iter_any():
                    received += len(chunk)
        except Exception as failure:  # every failure is an outcome of this request
            error = failure_kind(failure)
            if status is not None and error == "disconnected":
                error = "cut-off"
        self._slots.release()
        if self._closed:
            return
        record = Record(
            index=index,
            request_id=request_id,
            due_s=due_s,
            sent_s=sent_s,
            finished_s=self.now_s(),
            status=status,
            error=error,
            received_bytes=received,
        )
        del self._open[index]
        self._records.append(record)
        self._ok += record.ok

    def interrupted(self) -> LoadResult:
        """Return the result until now; requests in flight, and due but unsent ones, count as interrupted."""
        self._closed = True
        now_s = self.now_s()
        cut_off = [(index, due_s, sent_s) for index, (due_s, sent_s) in self._open.items()]
        while self._next is not None and self._next[1] <= now_s:
            cut_off.append((*self._next, None))
            self._next = next(self._arrivals, None)
        self._records += (
            Record(
                index=index,
                request_id=self._request_id(index),
                due_s=due_s,
                sent_s=sent_s,
                finished_s=now_s,
                error=INTERRUPTED,
            )
            for index, due_s, sent_s in cut_off
        )
        return self._result(stopped=True)

    def progress(self) -> LoadProgress:
        """Return the current progress."""
        now_s = self.now_s()
        return LoadProgress(
            elapsed_s=now_s,
            duration_s=self._plan.arrivals.duration_s,
            ok=self._ok,
            failed=len(self._records) - self._ok,
            in_flight=len(self._open),
            behind_s=max(0.0, now_s - self._next[1]) if self._next else 0.0,
        )

    def _result(self, *, stopped: bool) -> LoadResult:
        return LoadResult(
            plan=self._plan,
            records=tuple(sorted(self._records, key=lambda record: record.index)),
            started_unix_s=self._started_unix_s,
            elapsed_s=self.now_s(),
            slot_waits=self._slot_waits,
            stopped=stopped,
        )

    def _request_id(self, index: int) -> str:
        return f"{self._id_prefix}-{index}"


def _session(plan: LoadPlan) -> ClientSession:
    """Return a client without limits on connections, cookies or decompression."""
    import aiohttp

    headers = {"User-Agent": "dilu-load"}
    if plan.payloads:
        headers["Content-Type"] = "application/json"
    given = {name.lower() for name, _ in plan.headers}
    kept = [(name, value) for name, value in headers.items() if name.lower() not in given]
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=plan.timeout_s),
        headers=[*kept, *plan.headers],
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


async def _tick(run: _LoadRun, on_progress: Callable[[LoadProgress], None] | None, every_s: float) -> None:
    while on_progress is not None:
        await asyncio.sleep(every_s)
        on_progress(run.progress())


async def _cancel(tasks: Iterable[asyncio.Task[object]]) -> None:
    """Cancel the tasks and wait until all have ended."""
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
