"""One request through the gateway: it is read, sent to a replica, answered and counted.

It is sent to another replica only where the first one executed nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dilu.errors import RequestError
from dilu.http.answers import ClientGoneError, Headers, Receive, Scope, Send, read_body, send_error
from dilu.http.client.connection import ResponseLostError
from dilu.http.client.upstream import ConnectFailedError, ResponseLateError, StreamedResponse
from dilu.spec import names
from dilu_autoscaler.load_sampler import LoadSampler, whole_us
from dilu_autoscaler.local.backends import Backend, Backends
from dilu_autoscaler.local.headers import REFUSED, RequestHead, answer_headers, header
from dilu_autoscaler.local.traffic import Outcomes

_log = logging.getLogger(__name__)
ACCESS_LOG = "dilu_autoscaler.local.access"
_access_log = logging.getLogger(ACCESS_LOG)
# Replicas that a request is sent to in turn, as long as none has executed any of it.
_MAX_ATTEMPTS = 5
_REFUSED_DRAINING = names.REFUSED_DRAINING.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """The maximum size of a request, and the time limit of its answer."""

    max_body_bytes: int = 16 * 1024 * 1024
    answer_within_s: float = 300.0  # until the answer's head; a stream may then last without limit


@dataclass(slots=True, eq=False, kw_only=True)
class ServedFunction:
    """What the gateway knows of one function."""

    name: str
    backends: Backends
    outcomes: Outcomes
    load: LoadSampler
    on_active: Callable[[], None]  # a request arrived while the scale loop was asleep
    on_unreachable: Callable[[Backend], None]  # a ready replica does not take connections
    is_watched: bool = field(default=False)  # the scale loop has a tick at the end of this second

    def arrived(self, now_s: float) -> None:
        """Count one request."""
        self.load.arrived(whole_us(now_s))
        if not self.is_watched:
            self.is_watched = True
            self.on_active()


class ProxiedRequest:
    """One request through the gateway."""

    __slots__ = (
        "_closing",
        "_is_abandoned",
        "_is_broken",
        "_latency_s",
        "_limits",
        "_receive",
        "_send",
        "_started_s",
        "_status",
        "function",
        "head",
        "path",
        "scope",
    )

    def __init__(
        self,
        function: ServedFunction,
        limits: GatewayLimits,
        scope: Scope,
        receive: Receive,
        send: Send,
        head: RequestHead,
        path: bytes,
        closing: Callable[[], Headers],
    ) -> None:
        self.function = function
        self.scope = scope
        self.head = head
        self.path = path
        self._limits = limits
        self._closing = closing
        self._receive = receive
        self._send = send
        self._status = 0  # of the answer that has begun; 0: not begun
        self._is_broken = False  # the answer has begun and will not be complete
        self._is_abandoned = False  # the client has disconnected
        self._started_s = time.monotonic()
        self._latency_s: float | None = None

    async def run(self) -> None:
        """Answer the request, and count how it ended."""
        function = self.function
        function.arrived(self._started_s)
        try:
            await self._run_watched()
        except RequestError as error:
            await self._fail(error)
        except ClientGoneError:
            self._is_abandoned = True
        except ResponseLostError as error:
            await self._fail_lost(error)
        except Exception:
            _log.exception("internal error of the gateway", extra={"request_ids": [self.head.request_id]})
            await self._fail(
                RequestError(500, "gateway-error", "internal error of the gateway; its log has the details")
            )
        finally:
            now_s = time.monotonic()
            is_missed = self._count(now_s)
            function.load.finished(whole_us(now_s), missed=int(is_missed))

    def _count(self, now_s: float) -> bool:
        """Count how the request ended, and return whether it missed its objective."""
        latency_s = now_s - self._started_s if self._latency_s is None else self._latency_s
        status, outcomes = self._status, self.function.outcomes
        missed_before = outcomes.slo_missed
        # Most streams are ended by their client: they were answered when they began.
        if self._is_abandoned and self._latency_s is None:
            outcomes.gave_up(latency_s)
        elif status >= 500 or status == 429 or self._is_broken:
            outcomes.failed()
        elif status >= 400:
            outcomes.rejected()
        elif status:
            outcomes.answered(now_s, latency_s)
        if _access_log.isEnabledFor(logging.INFO):
            self._log_access(latency_s)
        return outcomes.slo_missed > missed_before

    def _log_access(self, latency_s: float) -> None:
        _access_log.info(
            "fn=%s %s %s %d %.1f ms",
            self.function.name,
            self.scope["method"],
            _as_sent(self.scope["raw_path"]),
            self._status,
            latency_s * 1000.0,
            extra={"request_ids": [self.head.request_id]},
        )

    async def _run_watched(self) -> None:
        """Read the body, then pass the request on until its client disconnects."""
        body = await read_body(self.scope, self._receive, self._limits.max_body_bytes)
        watch = _ClientWatch(self._receive)
        try:
            await self._pass_on(body, watch)
        except asyncio.CancelledError:
            if not watch.has_left:
                raise
            watch.task.uncancel()
            raise ClientGoneError from None
        finally:
            watch.stop()

    async def _pass_on(self, body: bytes, watch: _ClientWatch) -> None:
        scope, backends = self.scope, self.function.backends
        head = self.head.to_bytes(scope["method"], self.path, scope["query_string"], len(body))
        backend: Backend | None = None
        for attempt in range(_MAX_ATTEMPTS):
            if backend is None:
                backend = await backends.acquire(len(body), first=attempt > 0)
            else:
                backends.take(backend)
            tried, is_stream = backend, False
            try:
                answer = await tried.upstream.send(
                    head,
                    body,
                    is_head=scope["method"] == "HEAD",
                    answer_within_s=self._limits.answer_within_s,
                )
                try:
                    is_last = attempt == _MAX_ATTEMPTS - 1
                    refused = header(answer.headers, REFUSED) if answer.status in (429, 503) and not is_last else None
                    if refused is not None:
                        is_elsewhere, backend = self._elsewhere(refused, tried)
                        if is_elsewhere:
                            continue
                    if not answer.has_length and not answer.is_complete:
                        is_stream = True
                        self._latency_s = time.monotonic() - self._started_s  # a stream counts by its beginning
                        backends.begin_stream(tried)
                    await self._hand_over(answer, watch)
                    return
                finally:
                    answer.abort()
            except ConnectFailedError as error:
                if not error.is_closed:
                    raise RequestError(
                        503, "no-connection", f"{self.function.name}: {error}", retry_after_s=1
                    ) from error
                backends.remove(tried)
                self.function.on_unreachable(tried)
                backend = None
            except ResponseLostError as error:
                if not isinstance(error, ResponseLateError):
                    backends.suspend(tried)
                raise
            finally:
                if is_stream:
                    backends.end_stream(tried)
                backends.release(tried)
        raise RequestError(
            503,
            "unreachable",
            f"{self.function.name}: no replica takes connections after {_MAX_ATTEMPTS} attempts",
            retry_after_s=1,
        )

    def _elsewhere(self, refused: bytes, tried: Backend) -> tuple[bool, Backend | None]:
        """Return whether to send a refused request again, and to which replica (None: wait for one)."""
        backends = self.function.backends
        if refused == _REFUSED_DRAINING:
            backends.remove(tried)
            return True, None
        other = backends.free(besides=tried)
        return other is not None, other

    async def _hand_over(self, answer: StreamedResponse, watch: _ClientWatch) -> None:
        """Send the replica's answer to the client, piece by piece as it arrives."""
        send = self._send
        headers = answer_headers(answer.headers, self.head.request_id, answer.status)
        self._status = answer.status
        await send({"type": "http.response.start", "status": answer.status, "headers": headers + self._closing()})
        chunk = answer.taken()
        while not answer.is_complete:
            if chunk:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            chunk = await answer.next_chunk()
        watch.stop()  # a client may disconnect as soon as it has its answer
        await send({"type": "http.response.body", "body": chunk})

    async def _fail(self, error: RequestError) -> None:
        if self._status:
            self._is_broken = True
            return  # too late for an error: the connection is cut, so that the client sees an incomplete answer
        self._status = error.status
        await send_error(self._send, error, self.head.request_id, self._closing())

    async def _fail_lost(self, error: ResponseLostError) -> None:
        late = isinstance(error, ResponseLateError)
        _log.warning("fn=%s %s", self.function.name, error, extra={"request_ids": [self.head.request_id]})
        code = "answer-late" if late else "replica-lost"
        await self._fail(RequestError(504 if late else 502, code, f"{self.function.name}: {error}"))


def _as_sent(path: bytes) -> str:
    """Return the path, still encoded, for a log line: it cannot begin a new line or control a terminal."""
    text = path.decode("latin-1")
    return text if text.isascii() and text.isprintable() else ascii(text)[1:-1]


class _ClientWatch:
    """Cancels the task that created it when the client disconnects."""

    __slots__ = ("_watcher", "has_left", "task")

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task = task
        self.has_left = False
        self._watcher = asyncio.get_running_loop().create_task(self._watch(receive))

    def stop(self) -> None:
        """Stop watching."""
        self._watcher.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        self.task.cancel()
