"""Spans of requests, with a provider that the function's own code has set and an exporter in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from replica_process import ReplicaProcess, serving, wait_until

SOURCE = """
    import json, time
    from collections.abc import Iterator
    import dilu
    from flask import Flask
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    app = Flask(__name__)

    @app.get("/spans")
    def spans():
        found = exporter.get_finished_spans()
        exporter.clear()
        return [json.loads(span.to_json()) for span in found]

    @dilu.function(batch=4, max_wait_ms=500, slo_ms=5000, app=app)
    class Batched:
        def load(self):
            provider = TracerProvider()
            provider.add_span_processor(SimpleSpanProcessor(exporter))
            trace.set_tracer_provider(provider)

        def predict(self, xs: list[int]) -> list[int]:
            time.sleep(0.1)
            return xs

    @dilu.function
    def single(x: int) -> int:
        if x < 0:
            raise ValueError("no such x")
        return x

    @dilu.function
    def streamed(x: int) -> Iterator[int]:
        for number in range(x):
            time.sleep(0.02)
            yield number
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"
Span = dict[str, Any]


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProcess]:
    folder: Path = tmp_path_factory.mktemp("traced")
    with serving(folder) as start:
        yield start(SOURCE)


def spans_of(replica: ReplicaProcess, requests: int) -> list[Span]:
    """The spans of a number of requests, once all of them are there: they are made after the answers."""
    found: list[Span] = []

    def all_there() -> bool:
        found.extend(replica.request("GET", "/spans").json())
        return len([span for span in found if span["kind"] == "SpanKind.SERVER"]) >= requests

    wait_until(all_there, f"spans of {requests} requests")
    return found


def named(spans: list[Span], name: str) -> Span:
    (found,) = [span for span in spans if span["name"] == name]
    return found


def ends_s(span: Span) -> tuple[float, float]:
    return tuple(datetime.fromisoformat(span[key]).timestamp() for key in ("start_time", "end_time"))  # type: ignore[return-value]  # two keys


def test_a_request_is_a_server_span_with_queue_batch_and_execute_below_it(traced: ReplicaProcess) -> None:
    before_s = time.time()
    assert traced.post(7, "/batched", {"X-Request-Id": "mine"}).status == 200
    spans = spans_of(traced, 1)
    server, batch = named(spans, "POST /batched"), named(spans, "batch")
    queue, execute = named(spans, "queue"), named(spans, "execute")
    assert len(spans) == 4
    assert server["parent_id"] is None
    assert queue["parent_id"] == batch["parent_id"] == server["context"]["span_id"]
    assert execute["parent_id"] == batch["context"]["span_id"]
    start_s, end_s = ends_s(server)
    assert before_s - 0.01 <= start_s < end_s <= time.time() + 0.01
    assert ends_s(queue)[0] == pytest.approx(start_s, abs=1e-5)
    assert ends_s(queue)[1] == pytest.approx(ends_s(execute)[0], abs=1e-5)
    assert ends_s(execute)[1] - ends_s(execute)[0] >= 0.1
    assert ends_s(execute)[1] <= ends_s(batch)[1] <= end_s + 1e-5
    attributes = server["attributes"]
    assert attributes["http.request.method"] == "POST"
    assert attributes["http.route"] == attributes["url.path"] == "/batched"
    assert attributes["http.response.status_code"] == 200
    assert attributes["dilu.function"] == "batched"
    assert attributes["dilu.request.id"] == "mine"
    assert attributes["dilu.batch.size"] == batch["attributes"]["dilu.batch.size"] == 1
    assert "error.type" not in attributes


def test_the_context_that_came_with_the_request_is_its_parent(traced: ReplicaProcess) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}
    assert traced.post(7, "/single", headers).status == 200
    spans = spans_of(traced, 1)
    server = named(spans, "POST /single")
    assert server["parent_id"] == f"0x{PARENT}"
    assert {span["context"]["trace_id"] for span in spans} == {f"0x{TRACE}"}
    assert "vendor" in server["context"]["trace_state"]


def test_what_its_caller_does_not_sample_is_not_traced(traced: ReplicaProcess) -> None:
    assert traced.post(7, "/single", {"traceparent": f"00-{TRACE}-{PARENT}-00"}).status == 200
    assert traced.post(8, "/single").status == 200
    (server,) = [span for span in spans_of(traced, 1) if span["kind"] == "SpanKind.SERVER"]
    assert server["context"]["trace_id"] != f"0x{TRACE}"


@pytest.mark.parametrize("traceparent", ["nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\xff", "1" * 5_000])
def test_a_context_that_is_none_begins_a_new_trace(traced: ReplicaProcess, traceparent: str) -> None:
    assert traced.post(7, "/single", {"traceparent": traceparent}).status == 200
    assert named(spans_of(traced, 1), "POST /single")["parent_id"] is None


def test_requests_of_one_batch_are_linked(traced: ReplicaProcess) -> None:
    with ThreadPoolExecutor(4) as clients:
        assert [one.status for one in clients.map(lambda x: traced.post(x, "/batched"), range(4))] == [200] * 4
    spans = spans_of(traced, 4)
    servers = {span["context"]["span_id"] for span in spans if span["kind"] == "SpanKind.SERVER"}
    batches = [span for span in spans if span["name"] == "batch"]
    sizes = [span["attributes"]["dilu.batch.size"] for span in batches]
    links = [link["context"]["span_id"] for span in batches for link in span["links"]]
    assert set(links) <= servers
    # In a batch of n each request links to those before it: 0 + 1 + ... + n - 1; per request that is (n - 1) / 2.
    assert len(links) == sum((size - 1) / 2 for size in sizes)
    assert max(sizes) > 1


def test_errors_say_what_they_are(traced: ReplicaProcess) -> None:
    assert traced.post(-1, "/single").status == 500
    failed = named(spans_of(traced, 1), "POST /single")
    assert failed["status"]["status_code"] == "ERROR"
    assert "ValueError" in failed["status"]["description"]
    assert (failed["attributes"]["error.type"], failed["attributes"]["http.response.status_code"]) == (
        "handler-failed",
        500,
    )
    assert traced.post("x", "/single").status == 422
    (refused,) = spans_of(traced, 1)
    assert refused["status"]["status_code"] == "UNSET"
    assert refused["attributes"]["error.type"] == "invalid-type"


def test_a_stream_lasts_until_its_last_part(traced: ReplicaProcess) -> None:
    assert traced.post(5, "/streamed").status == 200
    start_s, end_s = ends_s(named(spans_of(traced, 1), "POST /streamed"))
    assert end_s - start_s >= 5 * 0.02


def test_time_that_is_over_in_the_queue_is_a_queue_span_and_no_batch(traced: ReplicaProcess) -> None:
    with ThreadPoolExecutor(1) as clients:
        long = clients.submit(traced.post, 50, "/streamed")
        wait_until(lambda: traced.stats()["functions"]["streamed"]["in_flight"] == 1, "the stream runs")
        assert traced.post(1, "/streamed", {"X-Request-Timeout-Ms": "20"}).status in (429, 504)
        assert long.result().status == 200
    late = [span for span in spans_of(traced, 2) if span["attributes"].get("error.type")]
    assert [span["attributes"]["error.type"] for span in late] in (["deadline"], ["deadline-exceeded"])


def test_metadata_is_not_traced(traced: ReplicaProcess) -> None:
    assert traced.request("GET", "/openapi.json").status == 200
    assert traced.request("GET", "/healthz").status == 200
    assert traced.post(1, "/single").status == 200
    assert {span["name"] for span in spans_of(traced, 1)} == {"POST /single", "queue", "batch", "execute"}
