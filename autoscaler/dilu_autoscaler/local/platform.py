"""`dilu up`: gateway, supervisors, scale loop and admin socket in one process and on one loop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time

from dilu.errors import DiluError
from dilu.http.listener import Listener, UnixListener
from dilu.spec.applications import Route
from dilu_autoscaler.local.admin import AdminApp
from dilu_autoscaler.local.backends import WaitLimits
from dilu_autoscaler.local.functions import LocalFunction
from dilu_autoscaler.local.gateway import GatewayApp
from dilu_autoscaler.local.launch_spec import LaunchPlan
from dilu_autoscaler.local.proxied_request import GatewayLimits
from dilu_autoscaler.local.routing import Router
from dilu_autoscaler.local.run_directory import Claim
from dilu_autoscaler.local.scaling import LocalScaling
from dilu_autoscaler.local.status import GatewayStatus, LocalStatus

_log = logging.getLogger(__name__)

# After the first signal: the time limit of accepted requests, and the minimum that each model gets to unload.
_DRAIN_S = 30.0
_MIN_UNLOAD_S = 5.0
# For this time answers tell clients to leave their connections, before idle ones are closed.
_ANNOUNCE_S = 0.1


class Platform:
    """Serves a plan until it is told to stop."""

    def __init__(
        self,
        plan: LaunchPlan,
        claim: Claim,
        gateway_socket: socket.socket,
        *,
        route: Route = Route.PATH,
        wait_limits: WaitLimits | None = None,
        gateway_limits: GatewayLimits | None = None,
        log_format: str = "plain",
    ) -> None:
        self.name = plan.name
        self.folder = plan.folder
        self.url = _client_url(gateway_socket)
        self._claim = claim
        self._functions = {
            one.spec.name: LocalFunction(
                one, logs=claim.logs, limits=wait_limits or WaitLimits(), log_format=log_format, on_wake=self._wake
            )
            for one in plan.functions
        }
        self._scaling = LocalScaling(self._functions)
        self._route = route
        self._router = Router(route, self._functions)
        served = {name: function.served for name, function in self._functions.items()}
        self._gateway = GatewayApp(self._router, served, gateway_limits or GatewayLimits())
        self._listener = Listener(self._gateway, gateway_socket)
        self._admin = UnixListener(AdminApp(self.status, claim.logs), claim.socket)
        self._stops: asyncio.Queue[int] = asyncio.Queue()

    async def run(self) -> int:
        """Serve until a stop signal, then drain. Return the exit code: 1 if a second signal cut the drain short."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, *termination_signals()):
            loop.add_signal_handler(number, self._stops.put_nowait, number)
        driving = loop.create_task(self._scaling.run())
        try:
            await self._listener.start()
            await self._admin.start()
            self._claim.announce(self.url)
            self._log_up()
            stopped = asyncio.ensure_future(self._stops.get())
            await asyncio.wait({stopped, driving}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if driving.done():
                driving.result()  # the scale loop never ends by itself: this raises what broke it
            return await self._stop()
        finally:
            driving.cancel()
            await self._end_at_once()

    def stop(self) -> None:
        """Act as on a signal: drain, or while draining end at once."""
        self._stops.put_nowait(0)

    def replan(self, plan: LaunchPlan) -> None:
        """Serve changed code. Raises `DiluError` if it has other functions than those that are up."""
        planned = {one.spec.name: one for one in plan.functions}
        if planned.keys() != self._functions.keys():
            raise DiluError(f"the functions are now {', '.join(planned)}: restart `dilu up` to serve them")
        for name, function in self._functions.items():
            function.replan(planned[name])
            self._scaling.replan(function)

    def status(self, function: str | None = None) -> LocalStatus:
        """Return the status document: of every function, or of one with all its last decisions.

        Raises `KeyError` for an unknown function.
        """
        now_s = time.monotonic()
        shown = self._functions if function is None else {function: self._functions[function]}
        statuses = [one.status(now_s, newest_only=function is None) for one in shown.values()]
        for status in statuses:
            status.url = self._router.url(self.url, status.name)
        return LocalStatus(
            platform="local",
            at_s=time.time(),
            name=self.name,
            pid=os.getpid(),
            gateway=GatewayStatus(url=self.url, route=str(self._route)),
            functions=tuple(statuses),
        )

    def _wake(self, function: str) -> None:
        self._scaling.wake(function)

    def _log_up(self) -> None:
        for name in self._functions:
            _log.info("fn=%s is at %s", name, self._router.url(self.url, name))
        _log.info("%s is up (pid %d); Ctrl-C drains and stops", self.name, os.getpid())

    async def _stop(self) -> int:
        """Drain until that is done or a second signal comes. Return the exit code."""
        draining = asyncio.ensure_future(self._drain())
        again = asyncio.ensure_future(self._stops.get())
        await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
        again.cancel()
        if draining.done():
            draining.result()
            return 0
        _log.warning("second stop signal: replicas are killed")
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        return 1

    async def _drain(self) -> None:
        in_flight = sum(function.served.load.in_flight for function in self._functions.values())
        _log.info(
            "stopping: %d requests in flight, up to %g s for them; a second Ctrl-C stops at once", in_flight, _DRAIN_S
        )
        self._gateway.is_draining = True
        self._listener.stop_accepting()
        deadline_s = time.monotonic() + _DRAIN_S
        await asyncio.sleep(_ANNOUNCE_S)
        await self._listener.close(_DRAIN_S)
        await self._close_supervisors(max(_MIN_UNLOAD_S, deadline_s - time.monotonic()))

    async def _end_at_once(self) -> None:
        """Kill every replica that is left, and close all sockets."""
        for function in self._functions.values():
            function.supervisor.kill()
        await self._close_supervisors(0.0)
        await self._scaling.close()
        await self._listener.close(0.0)
        await self._admin.close()

    async def _close_supervisors(self, grace_s: float) -> None:
        await asyncio.gather(*(function.supervisor.close(grace_s) for function in self._functions.values()))


def termination_signals() -> tuple[signal.Signals, ...]:
    """Return the signals that stop us beside Ctrl-C: with the terminal's end, unless that is ignored (`nohup`)."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return (signal.SIGTERM,)
    return signal.SIGTERM, signal.SIGHUP


def _client_url(gateway_socket: socket.socket) -> str:
    """Return the URL at which clients on this machine reach the gateway."""
    host, port = gateway_socket.getsockname()[:2]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"
