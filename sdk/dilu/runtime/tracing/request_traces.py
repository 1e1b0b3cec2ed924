"""OpenTelemetry traces of the requests of a replica. Without an exporter nothing is imported.

Each request is a SERVER span below the W3C context of the request, with these spans below it:

* `queue`    from its arrival until a batch with it began to run
* `batch`    from then until its answer; the other requests of the batch are its links
* `execute`  the time in the handler

Spans are made after the answer, with the times that were recorded: before that a trace costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from dilu.errors import ConfigError
from dilu.runtime.execution.service import FunctionService

if TYPE_CHECKING:
    from opentelemetry import trace as api
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

_log = logging.getLogger(__name__)

# OpenTelemetry's own names (its specification, "Environment Variable Specification").
_DISABLED = "OTEL_SDK_DISABLED"
_EXPORTER = "OTEL_TRACES_EXPORTER"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_SERVICE_NAME = "OTEL_SERVICE_NAME"
_RESOURCE = "OTEL_RESOURCE_ATTRIBUTES"
_EXPORTER_GROUP = "opentelemetry_traces_exporter"
_API = "opentelemetry.trace"


class Tracing:
    """The traces of one replica: created before its functions load, started after, closed when it drains."""

    def __init__(self, environment: Mapping[str, str], *, function: str, replica: str | None, version: str) -> None:
        self._is_disabled = environment.get(_DISABLED, "").strip().lower() == "true"
        self._made: TracerProvider | None = None
        self._used: api.TracerProvider | None = None
        if self._is_disabled or _set_provider() is not None or not (names := exporter_names(environment)):
            return
        attributes = _resource_attributes(environment, function=function, replica=replica, version=version)
        try:
            self._made = _provider([_exporter(name) for name in names], attributes)
        except ImportError as error:
            _log.warning("no traces: %s; install dilu[otel]", error)
        except Exception as error:  # third-party exporters may raise anything
            _log.warning("no traces: %s: %s", type(error).__name__, error)

    def start(self, services: Sequence[FunctionService]) -> None:
        """Trace the calls of these functions from now on, with the provider that their code has set, or with ours."""
        if self._is_disabled:
            return
        provider = _set_provider()
        if provider is None:
            if self._made is None:
                return
            from opentelemetry import trace

            trace.set_tracer_provider(self._made)  # for the functions' own spans
            provider = self._made
        elif self._made is not None:  # set while they loaded
            self._made.shutdown()
        from dilu.runtime.tracing.call_spans import CallSpans

        self._used = provider
        for service in services:
            service.on_call = CallSpans(provider.get_tracer("dilu"), service.definition.spec.name)

    async def close(self, timeout_s: float) -> bool:
        """Send the spans that were not sent yet. Return whether that took at most `timeout_s`."""
        if self._used is None:
            return True
        # Our provider ends here. One that the function has set is only flushed.
        end = getattr(self._used, "shutdown" if self._used is self._made else "force_flush", None)
        if end is None:
            return True
        ended: Future[None] = Future()

        def run() -> None:
            try:
                end()
            except Exception as error:
                _log.warning("the last traces could not be sent: %s", error)
            ended.set_result(None)

        threading.Thread(target=run, name="dilu-traces", daemon=True).start()
        try:
            await asyncio.wait_for(asyncio.wrap_future(ended), timeout_s)
        except TimeoutError:
            _log.warning("the last traces could not be sent within %g s", timeout_s)
            return False
        return True


def _set_provider() -> api.TracerProvider | None:
    """Return the provider that some code of this process has set, or None."""
    if _API not in sys.modules:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    return None if isinstance(provider, trace.ProxyTracerProvider) else provider


def exporter_names(environment: Mapping[str, str]) -> list[str]:
    """Return the exporters that the environment names, or OTLP if only its endpoint is given."""
    value = environment.get(_EXPORTER, "").strip()
    if not value:
        value = "otlp" if any(environment.get(name) for name in _ENDPOINTS) else "none"
    names = [name.strip() for name in value.split(",") if name.strip()]
    if "none" in names:
        return []
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "http/protobuf")
    otlp = "otlp_proto_grpc" if protocol == "grpc" else "otlp_proto_http"
    return [otlp if name == "otlp" else name for name in names]


def _exporter(name: str) -> SpanExporter:
    """Return the exporter that an installed package registers under this name."""
    found = next(iter(entry_points(group=_EXPORTER_GROUP, name=name)), None)
    if found is None:
        if name.startswith("otlp"):
            raise ImportError(f"the exporter {name!r} is not installed")
        known = ", ".join(sorted({one.name for one in entry_points(group=_EXPORTER_GROUP)})) or "none"
        raise ConfigError(f"{_EXPORTER} = {name!r}, must be one that is installed: {known}")
    exporter: SpanExporter = found.load()()
    return exporter


def _provider(exporters: Sequence[SpanExporter], attributes: Mapping[str, str]) -> TracerProvider:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # Not at exit: that could take half a minute, longer than a replica may take to end.
    provider = TracerProvider(resource=Resource.create(dict(attributes)), shutdown_on_exit=False)
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider


def _resource_attributes(
    environment: Mapping[str, str], *, function: str, replica: str | None, version: str
) -> dict[str, str]:
    """Return the attributes of the spans' origin that the environment does not set."""
    attributes = {"service.name": function, "service.version": version}
    if replica is not None:
        attributes["service.instance.id"] = replica
    given = {pair.partition("=")[0].strip() for pair in environment.get(_RESOURCE, "").split(",")}
    if environment.get(_SERVICE_NAME):
        given.add("service.name")
    return {key: value for key, value in attributes.items() if key not in given}
