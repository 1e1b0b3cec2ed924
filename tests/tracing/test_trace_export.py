"""Where traces go: OTLP as the environment says, nowhere by default, and never in the way of a drain."""

from __future__ import annotations

import time

import pytest

from dilu.runtime.tracing.request_traces import exporter_names
from replica_process import ServeFunction, wait_until
from tracing.trace_receiver import receiving

SOURCE = """
    import sys
    import dilu

    @dilu.function
    def loaded(prefix: str) -> list[str]:
        return sorted(name for name in sys.modules if name.startswith(prefix))
"""
API = "opentelemetry"


def test_spans_reach_a_collector_before_the_replica_ends(serve_function: ServeFunction) -> None:
    with receiving() as collector:
        replica = serve_function(SOURCE, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, DILU_REPLICA="r-1")
        for _ in range(20):
            assert replica.post("x").status == 200
        replica.terminate()
        assert replica.wait() == 0
        names = [span.name for span in collector.spans()]
    assert {name: names.count(name) for name in names} == {"POST /": 20, "queue": 20, "batch": 20, "execute": 20}
    resource = {pair.key: pair.value.string_value for pair in collector.received[0].resource.attributes}
    assert (resource["service.name"], resource["service.instance.id"]) == ("loaded", "r-1")


def test_the_environment_may_name_the_service(serve_function: ServeFunction) -> None:
    with receiving() as collector:
        replica = serve_function(
            SOURCE,
            OTEL_TRACES_EXPORTER="otlp",
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces",
            OTEL_SERVICE_NAME="shop",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test,service.version=7",
        )
        assert replica.post("x").status == 200
        replica.terminate()
        assert replica.wait() == 0
    resource = {pair.key: pair.value.string_value for pair in collector.received[0].resource.attributes}
    assert resource["service.name"] == "shop"
    assert resource["service.version"] == "7"
    assert resource["deployment.environment"] == "test"


def test_a_collector_that_does_not_answer_holds_a_drain_for_some_seconds_only(serve_function: ServeFunction) -> None:
    with receiving(answers=False) as collector:
        replica = serve_function(SOURCE, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert replica.post("x").status == 200
        replica.terminate()
        started_s = time.monotonic()
        assert replica.wait() == 0
        assert time.monotonic() - started_s < 8
    assert "the last traces could not be sent within 3 s" in replica.log()


def test_a_missing_collector_delays_no_request(serve_function: ServeFunction) -> None:
    replica = serve_function(SOURCE, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert replica.post("x").status == 200
    replica.terminate()
    assert replica.wait() == 0


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    ],
    ids=["nothing is said", "no exporter", "disabled"],
)
def test_nothing_is_imported_where_no_traces_are_configured(
    serve_function: ServeFunction, environment: dict[str, str]
) -> None:
    assert serve_function(SOURCE, **environment).post(API).json() == []


def test_an_exporter_that_is_not_installed_is_said_in_the_log_and_the_function_is_served(
    serve_function: ServeFunction,
) -> None:
    replica = serve_function(SOURCE, OTEL_TRACES_EXPORTER="zipkin")
    assert replica.post("x").status == 200
    said = "no traces: ConfigError: OTEL_TRACES_EXPORTER = 'zipkin', must be one that is installed:"
    wait_until(lambda: said in replica.log(), "the log says it")


def test_without_the_extra_the_log_says_what_to_install(serve_function: ServeFunction) -> None:
    source = "import sys\nsys.modules['opentelemetry'] = None\n" + SOURCE.replace("\n    ", "\n")
    replica = serve_function(source, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert replica.post("x").status == 200
    wait_until(lambda: "install dilu[otel]" in replica.log(), "the log says it")


CASES = [
    ({}, []),
    ({"OTEL_TRACES_EXPORTER": ""}, []),
    ({"OTEL_TRACES_EXPORTER": "none"}, []),
    ({"OTEL_TRACES_EXPORTER": "otlp"}, ["otlp_proto_http"]),
    ({"OTEL_TRACES_EXPORTER": " console , otlp "}, ["console", "otlp_proto_http"]),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, ["otlp_proto_http"]),
    ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://a"}, ["otlp_proto_http"]),
    ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
    (
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        },
        ["otlp_proto_http"],
    ),
    ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a"}, []),
]


@pytest.mark.parametrize(("environment", "names"), CASES)
def test_the_environment_names_the_exporters(environment: dict[str, str], names: list[str]) -> None:
    assert exporter_names(environment) == names
