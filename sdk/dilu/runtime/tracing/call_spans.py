"""The spans of one answered call. Imported only if calls are traced."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, Tracer
from opentelemetry.util.types import AttributeValue

from dilu.runtime.calls.call import Call
from dilu.runtime.calls.call_routes import CLIENT_LEFT
from dilu.runtime.execution.jobs import Job

_log = logging.getLogger(__name__)

# Links of one batch to requests that were answered before; all of them for usual sizes.
MAX_LINKS = 16
# Batches of one request that get spans; those of further batches are left out.
MAX_BATCHES = 16
# Batches whose requests may not all be answered yet.
_REMEMBERED_BATCHES = 256
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})


class CallSpans:
    """Makes spans of the calls of one function, on the server's loop, after the answer."""

    def __init__(self, tracer: Tracer, function: str) -> None:
        self._tracer = tracer
        self._function = function
        self._fields = {field.lower().encode() for field in propagate.get_global_textmap().fields}
        self._batches: OrderedDict[float, list[SpanContext]] = OrderedDict()
        self._has_failed = False

    def __call__(self, call: Call, status: int) -> None:
        """Make the spans of a call that was answered with `status`. Raise nothing: tracing must not fail a call."""
        try:
            self._trace(call, status, _SpanClock())
        except Exception:
            if not self._has_failed:
                self._has_failed = True
                _log.exception("a call of %s could not be traced; further such errors are not logged", self._function)

    def _trace(self, call: Call, status: int, clock: _SpanClock) -> None:
        span = self._tracer.start_span(
            f"{_method(call)} {call.path}",
            context=self._parent(call),
            kind=SpanKind.SERVER,
            attributes=self._attributes(call, status),
            start_time=clock.epoch_ns(call.arrived_s),
        )
        if span.is_recording():
            _set_outcome(span, call, status)
            self._trace_batches(trace.set_span_in_context(span), span.get_span_context(), call, clock)
        span.end(clock.now_ns)

    def _trace_batches(self, context: Context, request: SpanContext, call: Call, clock: _SpanClock) -> None:
        batches: dict[float, list[Job]] = {}
        for job in call.jobs:
            batches.setdefault(job.started_s, []).append(job)
        for started_s, jobs in list(batches.items())[:MAX_BATCHES]:
            if not started_s:  # it never ran: its deadline passed, or its client left
                self._child("queue", context, clock, call.arrived_s, clock.now_s)
                continue
            self._child("queue", context, clock, call.arrived_s, started_s)
            self._trace_batch(context, request, jobs, clock)

    def _trace_batch(self, context: Context, request: SpanContext, jobs: list[Job], clock: _SpanClock) -> None:
        first = jobs[0]
        attributes = {"dilu.batch.size": first.batch_size, "dilu.batch.items": len(jobs)}
        batch = self._tracer.start_span(
            "batch",
            context=context,
            attributes=attributes,
            links=self._links(first, request),
            start_time=clock.epoch_ns(first.started_s),
        )
        self._child("execute", trace.set_span_in_context(batch), clock, first.started_s, first.finished_s, attributes)
        batch.end(clock.now_ns)

    def _child(
        self,
        name: str,
        context: Context,
        clock: _SpanClock,
        start_s: float,
        end_s: float,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        span = self._tracer.start_span(name, context=context, attributes=attributes, start_time=clock.epoch_ns(start_s))
        span.end(clock.epoch_ns(end_s))

    def _links(self, job: Job, request: SpanContext) -> list[Link]:
        """Return links to requests of the same batch that were answered before; so each pair is linked once."""
        if job.batch_size < 2:
            return []
        others = self._batches.setdefault(job.started_s, [])
        links = [Link(other) for other in others[-MAX_LINKS:]]
        others.append(request)
        while len(self._batches) > _REMEMBERED_BATCHES:
            self._batches.popitem(last=False)
        return links

    def _parent(self, call: Call) -> Context:
        carrier = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in call.headers if name in self._fields
        }
        return propagate.extract(carrier, context=Context())

    def _attributes(self, call: Call, status: int) -> dict[str, AttributeValue]:
        attributes: dict[str, AttributeValue] = {
            "http.request.method": _method(call),
            "http.route": call.path,  # routes have no variable parts
            "url.path": call.path,
            "url.scheme": "http",
            "dilu.function": self._function,
            "dilu.request.id": call.request_id,
        }
        if status != CLIENT_LEFT:
            attributes["http.response.status_code"] = status
        agent = call.header(b"user-agent")
        if agent is not None:
            attributes["user_agent.original"] = agent.decode("latin-1")
        if call.jobs:
            attributes["dilu.batch.size"] = call.jobs[-1].batch_size
        return attributes


class _SpanClock:
    """The current time on the monotonic clock of jobs and on the wall clock of spans."""

    def __init__(self) -> None:
        self.now_s = time.monotonic()
        self.now_ns = time.time_ns()

    def epoch_ns(self, at_s: float) -> int:
        """Convert a monotonic time to nanoseconds since 1970."""
        return self.now_ns - round((self.now_s - at_s) * 1e9)


def _method(call: Call) -> str:
    return call.method if call.method in _METHODS else "_OTHER"


def _set_outcome(span: Span, call: Call, status: int) -> None:
    """Set the status of a server span: 5xx is an error; 4xx has an error type and is not an error."""
    if status < 400:
        return
    code = str(status) if call.error is None else call.error.code
    span.set_attribute("error.type", "client-left" if status == CLIENT_LEFT else code)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR, None if call.error is None else str(call.error)))
