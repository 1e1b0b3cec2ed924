"""One HTTP request to a function: how routes of all protocols read it, run it and answer it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dilu.context import Context
from dilu.errors import RequestError
from dilu.http import answers
from dilu.http.answers import ClientGoneError, Headers, Receive, Scope, Send
from dilu.http.bounded_protocol import answer_at_once, is_abandoned
from dilu.http.call_headers import CallHeaders
from dilu.runtime.execution.jobs import Job
from dilu.runtime.execution.service import FunctionService, State
from dilu.runtime.execution.streams import PartStream
from dilu.spec import names

if TYPE_CHECKING:
    from dilu.events import Event

_UPLOAD_S = 0.001  # a body that took longer arrived in pieces
_OK = 200
_JSON = b"application/json"
_SERVER_TIMING = names.HEADER_SERVER_TIMING.lower().encode()
_REQUEST_ID = names.HEADER_REQUEST_ID.lower().encode()


class Call:
    """One request in progress: its head, and the methods to read, run and answer it."""

    __slots__ = (
        "_body",
        "_deadline_s",
        "_receive",
        "_scope",
        "_send",
        "arrived_s",
        "error",
        "event",
        "finished_s",
        "head",
        "jobs",
        "request_id",
        "service",
        "started_answer",
        "status",
    )

    def __init__(self, service: FunctionService, scope: Scope, receive: Receive, send: Send) -> None:
        self.service = service
        self.arrived_s = time.monotonic()
        self.finished_s = 0.0
        self.head = CallHeaders(scope["headers"])
        self.request_id = self.head.request_id or answers.new_request_id()
        self.event: Event | None = None  # the CloudEvent that carries the request; set before it runs
        self.jobs: list[Job] = []
        self.error: RequestError | None = None  # the error that the answer reports, if any
        self.status = 0  # of the answer, once it has begun
        self.started_answer = False
        self._deadline_s: float | None = None
        self._scope, self._receive, self._send = scope, receive, send
        self._body: bytes | None = None

    @property
    def method(self) -> str:
        """The method, such as GET or POST."""
        method: str = self._scope["method"]
        return method

    @property
    def path(self) -> str:
        """The decoded path of the URL."""
        path: str = self._scope["path"]
        return path

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """All headers, their names in lower case."""
        headers: list[tuple[bytes, bytes]] = self._scope["headers"]
        return headers

    def header(self, name: bytes) -> bytes | None:
        """Return the first header with this (lower-case) name, or None."""
        return next((value for key, value in self._scope["headers"] if key == name), None)

    async def body(self) -> bytes:
        """Return the whole body. Raise `RequestError` (413 too large, 408 too slow) or `ClientGoneError`."""
        if self._body is None:
            self._body = await answers.read_body(
                self._scope, self._receive, self.service.definition.options.max_body_bytes
            )
            now_s = time.monotonic()
            if now_s - self.arrived_s > _UPLOAD_S:  # the client's own sending time does not count
                self.arrived_s = now_s
        return self._body

    def check_count(self, items: int) -> None:
        """Raise `RequestError` (413) if one request cannot have this number of items, before they are decoded."""
        self.service.check_count(items)

    def decode(self, value: Any) -> Any:
        """Convert parsed JSON to an item of the handler's type. Raise `RequestError` (422) that names the field."""
        return self.service.convert(value)

    def begin(self) -> None:
        """Read the request's time limit from its head, and refuse it at once if it cannot be answered in time.

        Raise `RequestError`: 400 if the limit is invalid, 429 or 503 if the request is refused.
        """
        timeout_s = self.head.timeout_s()
        own_s = self.service.timeout_s
        if own_s is not None:
            timeout_s = own_s if timeout_s is None else min(timeout_s, own_s)
        if timeout_s is not None:
            self._deadline_s = self.arrived_s + timeout_s
        self.service.check_room(self.head.urgency, self._deadline_s)

    def submit(self, item: Any) -> asyncio.Future[Any]:
        """Submit one item of a handler that does not stream. Return the future of its result."""
        return self._admitted((item,))[0].answer

    async def run(self, items: list[Any]) -> list[Any]:
        """Return one result per item, all admitted together or refused. Raise the first failed item's error."""
        if len(items) == 1 and not self.service.definition.is_streaming:  # the usual case, without the extra coroutine
            return [await self._admitted(items)[0].answer]
        results = await self.run_each(items)
        for result in results:
            if isinstance(result, RequestError):
                raise result
        return results

    async def run_each(self, items: list[Any]) -> list[Any]:
        """Return one result per item, or the item's `RequestError` in place of it."""
        jobs = self._admitted(items)
        if self.service.definition.is_streaming:
            return list(await asyncio.gather(*(self._collected(job) for job in jobs)))
        if len(jobs) == 1:
            return [await jobs[0].answer]
        results = await asyncio.gather(*(job.answer for job in jobs), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, RequestError):
                raise result
        return list(results)

    async def stream(self, item: Any) -> AsyncIterator[Any]:
        """Yield the parts of a streaming handler's answer. Raise `RequestError`, possibly after some parts."""
        async for part in _read(self._admitted([item])[0]):
            yield part

    async def answer(
        self,
        body: bytes,
        *,
        status: int = _OK,
        content_type: bytes = _JSON,
        headers: Headers | None = None,
    ) -> None:
        """Send one complete answer. `headers` must not contain line ends."""
        self.status = status
        self.finished_s = time.monotonic()
        self.started_answer = True
        timing = self._server_timing()
        closing = self.service.state is State.DRAINING
        if not closing and status == _OK:
            head = b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\nserver-timing: %b\r\n"
            head %= (content_type, len(body), self.request_id.encode(), timing)
            if headers:
                head += b"".join([b"%b: %b\r\n" % header for header in headers])
            if answer_at_once(self._scope, status, head, body):
                return
        sent = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        sent += [(_REQUEST_ID, self.request_id.encode()), (_SERVER_TIMING, timing), *(headers or ()), *self._closing()]
        await self._send({"type": "http.response.start", "status": status, "headers": sent})
        await self._send({"type": "http.response.body", "body": body})

    async def answer_stream(
        self,
        parts: AsyncIterator[bytes],
        *,
        content_type: bytes = b"text/event-stream",
        on_error: Callable[[RequestError, str], bytes] | None = None,
    ) -> None:
        """Send an answer part by part. It starts with the first part: an error before it is an ordinary error answer.

        An error after it ends the answer, with a last part from `on_error` if that is given.
        """
        try:
            async for part in parts:
                if not self.started_answer:
                    await self._start_stream(content_type)
                if is_abandoned(self._scope):
                    raise ClientGoneError
                await self._send({"type": "http.response.body", "body": part, "more_body": True})
        except (RequestError, TypeError, ValueError) as error:  # the last two: a part that JSON cannot represent
            if not self.started_answer or on_error is None:
                raise
            reported = error if isinstance(error, RequestError) else RequestError(500, "unusable-result", str(error))
            self.status, self.error = reported.status, reported
            last = on_error(reported, self.request_id)
            await self._send({"type": "http.response.body", "body": last, "more_body": True})
        except RuntimeError:
            if is_abandoned(self._scope):  # its transport was closed between the check and the write
                raise ClientGoneError from None
            raise
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()  # now, not when it is collected, so that the handler stops
        if not self.started_answer:
            await self._start_stream(content_type)
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, body: bytes, error: RequestError, headers: Headers | None = None) -> None:
        """Send the answer for an error."""
        self.status, self.error = error.status, error
        self.finished_s = time.monotonic()
        self.started_answer = True
        sent = [*(headers or ()), *answers.error_headers(error, self.request_id), *self._closing()]
        sent.append((_SERVER_TIMING, self._server_timing()))
        await answers.send_json(self._send, error.status, body, sent)

    def _admitted(self, items: Sequence[Any]) -> list[Job]:
        service = self.service
        service.check_count(len(items))
        takes_context, is_streaming = service.definition.takes_context, service.definition.is_streaming
        head = self.head
        has_left = partial(is_abandoned, self._scope)
        jobs = []
        for item in items:
            job = Job(
                item,
                self.request_id,
                self.arrived_s,
                service.new_answer(),
                has_left,
                head.urgency,
                self._deadline_s,
                self._context(has_left) if takes_context else None,
                PartStream() if is_streaming else None,
                len(items) == 1,
            )
            jobs.append(job)
        if jobs:
            service.admit(jobs)
        self.jobs += jobs
        return jobs

    def _context(self, has_left: Callable[[], bool]) -> Context:
        return Context(
            request_id=self.request_id,
            deadline_s=self._deadline_s,
            urgency=self.head.urgency,
            event=self.event,
            traceparent=self.head.traceparent,
            is_abandoned=has_left,
        )

    @staticmethod
    async def _collected(job: Job) -> list[Any] | RequestError:
        try:
            return [part async for part in _read(job)]
        except RequestError as error:
            return error

    async def _start_stream(self, content_type: bytes) -> None:
        self.started_answer = True
        self.status = self.status or _OK
        self.finished_s = time.monotonic()
        self.service.metrics.sent_first_part(self.finished_s - self.arrived_s)
        headers = [
            (b"content-type", content_type),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),  # a proxy must not buffer the stream
            (_REQUEST_ID, self.request_id.encode()),
            (_SERVER_TIMING, self._server_timing()),
            *self._closing(),
        ]
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})

    def _server_timing(self) -> bytes:
        """Return `queue;dur=MS, execute;dur=MS;desc="batch of N"` of the last job, if it ran, and `total`."""
        total_ms = (self.finished_s - self.arrived_s) * 1e3
        if not self.jobs or not (job := self.jobs[-1]).started_s:
            return b"total;dur=%.3f" % total_ms
        return b'queue;dur=%.3f, execute;dur=%.3f;desc="batch of %d", total;dur=%.3f' % (
            (job.started_s - self.arrived_s) * 1e3,
            (job.finished_s - job.started_s) * 1e3,
            job.batch_size,
            total_ms,
        )

    def _closing(self) -> Headers:
        """Return the header that asks the client to close this connection, while draining."""
        return [answers.CLOSE] if self.service.state is State.DRAINING else []


async def _read(job: Job) -> AsyncIterator[Any]:
    """Yield the parts of one streamed answer. When the reader stops, the handler stops."""
    assert job.parts is not None
    try:
        async for part in job.parts.read(job.answer):
            yield part
    finally:
        job.parts.cut()
        job.answer.add_done_callback(_retrieved)


def _retrieved(answer: asyncio.Future[Any]) -> None:
    """Retrieve the error of a stream that was cut, so that asyncio does not log it as unhandled."""
    if not answer.cancelled():
        answer.exception()
