"""An OpenTelemetry collector for tests: takes OTLP over HTTP on a port of its own and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span


class TraceReceiver:
    """Answers at once, or not before it is closed."""

    def __init__(self, *, answers: bool) -> None:
        self.received: list[ResourceSpans] = []
        self._may_answer = threading.Event()
        if answers:
            self._may_answer.set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def spans(self) -> list[Span]:
        """All spans that came, in the order of their beginning."""
        spans = [span for batch in self.received for scope in batch.scope_spans for span in scope.spans]
        return sorted(spans, key=lambda span: span.start_time_unix_nano)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._may_answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # the name is the base class's
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                receiver._may_answer.wait(30)
                receiver.received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
                try:
                    self.send_response(200 if self.path == "/v1/traces" else 404)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
                return

        return Handler


@contextmanager
def receiving(*, answers: bool = True) -> Iterator[TraceReceiver]:
    """A receiver for the time of a `with` statement."""
    receiver = TraceReceiver(answers=answers)
    receiver.start()
    try:
        yield receiver
    finally:
        receiver.close()
