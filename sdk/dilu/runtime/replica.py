"""The life of one replica, from its first instruction to its exit code: import, load, serve, drain, unload."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import uvloop

from dilu.errors import ConfigError, DiluError
from dilu.handlers import FunctionDefinition, overridden
from dilu.http.listener import AsgiApp, Listener, bind
from dilu.loading import load_functions
from dilu.runtime.control import ControlLine
from dilu.runtime.execution.service import FunctionService, State
from dilu.runtime.execution.service_group import ServiceGroup
from dilu.runtime.process import ease_cold_start, seconds_since_process_start, shield_forks
from dilu.runtime.reporting.exposition import ReplicaCollector
from dilu.runtime.reporting.metrics import FunctionMetrics
from dilu.runtime.routes.invoke_app import InvokeApp
from dilu.runtime.routes.stats_app import StatsApp
from dilu.runtime.settings import ReplicaSettings
from dilu.runtime.tracing.request_traces import Tracing
from dilu.spec import names
from dilu.version import sdk_version

_log = logging.getLogger(__name__)

# After SIGTERM: how long the listening socket stays open for connections that are being made, ...
_LAST_CONNECTIONS_S = 0.05
# ... for how long it then finishes handshakes and starts none, ...
_LAST_HANDSHAKES_S = 0.02
# ... and at how many polls in a row no request may have arrived before idle connections are closed. Polls, not
# seconds: a machine that stalls stalls the clients as well.
_QUIET_POLLS = 10
_POLL_S = 0.02
# Share of the drain timeout that is reserved for unloading when requests do not end.
_UNLOAD_RATIO = 0.1
# Maximum time to send the last traces, within the drain timeout.
_LAST_TRACES_S = 3.0
# A handler that wakes while the server's loop computes should get the interpreter soon (CPython's default, 5 ms, is as
# long as a whole batch may take).
_SWITCH_INTERVAL_S = 0.0005


class Replica:
    """Serves the functions of one module until it is told to stop."""

    def __init__(
        self,
        definitions: Sequence[FunctionDefinition],
        settings: ReplicaSettings,
        control: ControlLine,
        cold_start_s: dict[str, float],
    ) -> None:
        self._definitions = _configured(definitions, settings)
        self._settings = settings
        self._control = control
        self._metrics = [_metrics_of(definition, cold_start_s) for definition in self._definitions]
        self._deadline_s = float("inf")  # of the drain, on the loop's clock
        self._listeners: list[Listener] = []  # the one for statistics, then the one for requests
        # Bound before the model loads, so that a port in use is reported at once and not after a minute.
        self._sockets = [bind(settings.host, settings.stats_port)]
        if not settings.bind_after_ready:
            self._sockets.append(bind(settings.host, settings.port))
        shield_forks(self._inherited_fds)

    async def run(self) -> int:
        """Serve until SIGTERM, SIGINT or the supervisor's end. Return the exit code."""
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        stop = self._stop_event()
        ready = ease_cold_start()
        functions = zip(self._definitions, self._metrics, strict=True)
        service = ServiceGroup([self._service(definition, metrics) for definition, metrics in functions])
        registry = ReplicaCollector(self._metrics, version=sdk_version()).registry()
        stats = StatsApp(service, registry, replica=self._settings.replica)
        app = InvokeApp(service.services, stats)
        await self._listen(stats, self._sockets[0])
        if not self._settings.bind_after_ready:
            await self._listen(app, self._sockets[1])
        tracing = self._tracing(service)
        exit_code = await self._load(service, stop)
        if exit_code is not None:
            return exit_code
        tracing.start(service.services)
        ready()
        if self._settings.bind_after_ready:
            self._sockets.append(bind(self._settings.host, self._settings.port))
            await self._listen(app, self._sockets[1])
        stats_listener, listener = self._listeners
        self._report_ready(service, listener, stats_listener)
        if not await self._serve(service, stop):
            return 1
        exit_code = await self._drain(service, listener, stats_listener)
        await tracing.close(min(_LAST_TRACES_S, max(0.1, self._deadline_s - asyncio.get_running_loop().time())))
        return exit_code

    def _tracing(self, service: ServiceGroup) -> Tracing:
        return Tracing(os.environ, function=service.name, replica=self._settings.replica, version=sdk_version())

    def _inherited_fds(self) -> list[int]:
        """Return the file descriptors that a forked child must close."""
        listeners = [fd for listener in self._listeners for fd in listener.fds()]
        return [*listeners, *(sock.fileno() for sock in self._sockets), *self._control.fds()]

    def _stop_event(self) -> asyncio.Event:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop_or_hurry() -> None:
            if stop.is_set():
                self._deadline_s = 0.0  # the second signal: cut what still runs
                for listener in self._listeners:
                    listener.hurry()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop_or_hurry)
        self._control.watch(stop.set)
        return stop

    async def _listen(self, app: AsgiApp, sock: socket.socket) -> None:
        listener = Listener(app, sock)
        await listener.start()
        self._listeners.append(listener)

    async def _load(self, service: ServiceGroup, stop: asyncio.Event) -> int | None:
        """Load all functions. Return None if that succeeded, else the exit code."""
        load = asyncio.ensure_future(service.load())
        stopped = asyncio.ensure_future(stop.wait())
        await asyncio.wait({load, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not load.done():
            _log.info("stopped while loading")
            return 0
        stopped.cancel()
        error = load.exception()
        if error is None:
            return None
        failed = next(one for one in service.services if one.state is State.STARTING)
        phase = names.PHASE_WARMUP if names.PHASE_LOAD in failed.metrics.cold_start_s else names.PHASE_LOAD
        _log.error("%s of %s failed", phase, failed.definition.spec.name, exc_info=error)
        reason = str(error) if isinstance(error, DiluError) else f"{type(error).__name__}: {error}"
        self._control.send("failed", phase=phase, error=reason.partition("\n")[0])
        return 1

    async def _serve(self, service: ServiceGroup, stop: asyncio.Event) -> bool:
        """Serve until told to stop. Return False if the threads of a handler died before."""
        stopped = asyncio.ensure_future(stop.wait())
        ended = asyncio.ensure_future(service.ended())
        await asyncio.wait({stopped, ended}, return_when=asyncio.FIRST_COMPLETED)
        if stopped.done():
            ended.cancel()
            return True
        _log.critical("%s stops: the threads of its handler died", service.name, exc_info=ended.exception())
        return False

    def _service(self, definition: FunctionDefinition, metrics: FunctionMetrics) -> FunctionService:
        def phase_ended(phase: str, seconds: float) -> None:
            metrics.cold_start_s[phase] = seconds
            self._control.send("phase", phase=phase, seconds=seconds)

        return FunctionService(definition, metrics, on_phase=phase_ended)

    def _cold_start_s(self) -> dict[str, float]:
        """Return seconds by phase; load and warm-up are the sums over all functions."""
        seconds: dict[str, float] = {}
        for metrics in self._metrics:
            for phase, phase_s in metrics.cold_start_s.items():
                is_own = phase in (names.PHASE_LOAD, names.PHASE_WARMUP)
                seconds[phase] = (seconds.get(phase, 0.0) if is_own else 0.0) + phase_s
        return seconds

    def _report_ready(self, service: ServiceGroup, listener: Listener, stats_listener: Listener) -> None:
        cold_start_s = self._cold_start_s()
        _log.info(
            "%s is ready on %s:%d, stats on port %d (%s)",
            service.name,
            self._settings.host,
            listener.port,
            stats_listener.port,
            ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in cold_start_s.items()),
        )
        self._control.send(
            "ready",
            port=listener.port,
            stats_port=stats_listener.port,
            pid=os.getpid(),
            max_in_flight=sum(definition.max_in_flight for definition in self._definitions),
            cold_start_s=cold_start_s,
        )

    async def _drain(self, service: ServiceGroup, listener: Listener, stats_listener: Listener) -> int:
        """Stop accepting, finish what was accepted, unload. Return the exit code."""
        loop = asyncio.get_running_loop()
        self._deadline_s = min(self._deadline_s, loop.time() + self._settings.drain_timeout_s)
        _log.info("draining: %d requests in flight", service.in_flight)
        service.start_draining()
        self._control.send("draining")
        await asyncio.sleep(_LAST_CONNECTIONS_S)
        listener.begin_no_handshakes()
        await asyncio.sleep(_LAST_HANDSHAKES_S)
        listener.stop_accepting()
        await until_quiet(lambda: service.arrival_count, deadline_s=self._deadline_s)
        reserve_s = self._settings.drain_timeout_s * _UNLOAD_RATIO
        answered = await listener.close(self._deadline_s - reserve_s - loop.time())
        if not answered:
            _log.error(
                "requests were cut: they did not end within the drain timeout of %g s", self._settings.drain_timeout_s
            )
        unloaded = await service.close(max(reserve_s / 2, self._deadline_s - loop.time()))
        if not unloaded:
            _log.error("the handler did not end within the drain timeout of %g s", self._settings.drain_timeout_s)
        await stats_listener.close(0.0)
        self._control.close()
        return 0 if answered and unloaded else 1


async def until_quiet(arrival_count: Callable[[], int], *, deadline_s: float, poll_s: float = _POLL_S) -> None:
    """Wait until no request has arrived for ten polls in a row, or until the deadline on the loop's clock.

    Requests still arrive on open connections, whose clients are told to leave.
    """
    loop = asyncio.get_running_loop()
    quiet_polls, seen = 0, arrival_count()
    while loop.time() < deadline_s and quiet_polls < _QUIET_POLLS:
        await asyncio.sleep(poll_s)
        count = arrival_count()
        quiet_polls = quiet_polls + 1 if count == seen else 0
        seen = count


def _configured(definitions: Sequence[FunctionDefinition], settings: ReplicaSettings) -> tuple[FunctionDefinition, ...]:
    """Return the definitions with the deployment's overrides and time limit. Raise `ConfigError`."""
    if settings.overrides and len(definitions) > 1:
        found = ", ".join(definition.spec.name for definition in definitions)
        raise ConfigError(f"{names.ENV_FUNCTION_SPEC} is for one function, but this replica serves {found}")
    return tuple(
        _with_timeout(overridden(definition, settings.overrides), settings.request_timeout_s)
        for definition in definitions
    )


def _with_timeout(definition: FunctionDefinition, timeout_s: float | None) -> FunctionDefinition:
    if timeout_s is None or definition.options.timeout_s is not None:
        return definition
    return replace(definition, options=replace(definition.options, timeout_s=timeout_s))


def _metrics_of(definition: FunctionDefinition, cold_start_s: Mapping[str, float]) -> FunctionMetrics:
    metrics = FunctionMetrics(definition.spec.name, slo_s=definition.spec.slo_s)
    metrics.cold_start_s.update(cold_start_s)
    return metrics


def run_replica(target: str, settings: ReplicaSettings) -> int:
    """Import `target` and serve it. Return the exit code (0 drained, 1 it could not be loaded or drained).

    Raise `DiluError` for errors that the user has to fix; they are also sent to the supervisor.
    """
    control = ControlLine(settings.control_fd)
    phase = names.PHASE_IMPORT
    process_s = seconds_since_process_start()
    control.send("phase", phase=names.PHASE_PROCESS, seconds=process_s)
    began_s = time.monotonic()
    try:
        definitions = tuple(load_functions(target).values())
        import_s = time.monotonic() - began_s
        control.send("phase", phase=phase, seconds=import_s)
        phase = names.PHASE_LOAD
        replica = Replica(
            definitions, settings, control, {names.PHASE_PROCESS: process_s, names.PHASE_IMPORT: import_s}
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(replica.run())
    except DiluError as error:
        control.send("failed", phase=phase, error=str(error))
        raise
