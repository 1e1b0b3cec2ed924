"""One replica as a child process: it is started, heard on its control socket, and always stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from dilu_autoscaler.local.launch_spec import DRAIN_S, FunctionPlan

_log = logging.getLogger(__name__)

_STOP_GRACE_S = DRAIN_S + 1.0  # by then a replica has cut what was still running
_CUT_S = 5.0  # from the second SIGTERM, which cuts what still runs, to SIGKILL
# The last control events may arrive after the process has ended; a child of its own may hold the socket open.
_LAST_EVENTS_S = 0.5
_MAX_TAIL_BYTES = 64 * 1024
_MAX_LOG_BYTES = 32 * 1024 * 1024


class ReplicaState(StrEnum):
    """Where a replica is in its life, as its supervisor sees it."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    ENDED = "ended"


class _ControlEvent(msgspec.Struct):
    """One line on the control socket."""

    event: str
    phase: str = ""
    seconds: float = 0.0
    error: str = ""
    port: int = 0
    stats_port: int = 0
    max_in_flight: int = 1
    cold_start_s: dict[str, float] = {}


class ReplicaProcess:
    """One child process. `run` ends when the process has ended; `on_change` is called at each change of state."""

    def __init__(
        self,
        id: str,  # noqa: A002 - its name in status and logs
        plan: FunctionPlan,
        log_path: Path,
        *,
        generation: int,
        restarts: int,
        log_format: str,
        on_change: Callable[[ReplicaProcess], None],
    ) -> None:
        self.id = id
        self.log_path = log_path
        self.generation = generation
        self.restarts = restarts
        self.state = ReplicaState.STARTING
        self.pid: int | None = None
        self.port = 0
        self.stats_port = 0
        self.max_in_flight = 1
        self.phases_s: dict[str, float] = {}
        self.failure: str | None = None  # the reason that the replica itself reported
        self.exit_code: int | None = None
        self.was_stopped = False  # by us
        self.started_s = time.monotonic()
        self.ready_s: float | None = None
        self.ended_s: float | None = None
        self._plan = plan
        self._log_format = log_format
        self._on_change = on_change
        self._process: asyncio.subprocess.Process | None = None
        self._is_told = False  # to stop, by us or another process
        self._cut_at_s = math.inf  # when a stop's grace is over
        self._stop_timer: asyncio.TimerHandle | None = None
        self._start_timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Start the process, read its control events, wait for its end.

        The state is `ENDED` as soon as the process has ended; when `run` returns, its last events are read as well.
        """
        parent, child = socket.socketpair()
        try:
            with child:
                await self._spawn(child)
        except (OSError, ValueError) as error:
            parent.close()
            self.failure = f"cannot be started: {error}"
            self._ended(None)
            return
        reader, writer = await asyncio.open_unix_connection(sock=parent)
        process = self._process
        assert process is not None
        hearing = asyncio.ensure_future(self._hear(reader))
        try:
            code = await process.wait()
            self._kill_group()  # what it started ends with it
            self._ended(code)
            await asyncio.wait({hearing}, timeout=_LAST_EVENTS_S)
        finally:
            hearing.cancel()
            writer.close()
            self._cancel_timers()

    def stop(self, grace_s: float = _STOP_GRACE_S) -> None:
        """Tell the process to finish its requests and end.

        After `grace_s` it is told to cut what still runs, and killed soon after. A later call can shorten that.
        """
        self.was_stopped = True
        self._become(ReplicaState.DRAINING)
        now_s = time.monotonic()
        is_sooner = now_s + grace_s < self._cut_at_s
        self._cut_at_s = min(now_s + grace_s, self._cut_at_s)
        if self._process is None or self.state is ReplicaState.ENDED:
            return
        if not self._is_told:
            self._is_told = True
            self._signal(signal.SIGTERM)
        if is_sooner or self._stop_timer is None:
            self._set_stop_timer(max(0.0, self._cut_at_s - now_s), self._cut)

    def kill(self) -> None:
        """Kill the process and what it started."""
        self.was_stopped = True
        if self._process is not None and self._process.returncode is None:
            self._kill_group()

    def tail(self, lines: int) -> list[str]:
        """Return the last lines of its log."""
        return last_lines(self.log_path, lines)

    def bound_log(self) -> None:
        """Empty its log if that has become too large."""
        with contextlib.suppress(OSError):
            if self.log_path.stat().st_size > _MAX_LOG_BYTES:
                # It is opened for appending, so the process continues at the new end.
                self.log_path.write_text(f"(emptied after {_MAX_LOG_BYTES // 1024**2} MiB)\n")

    @property
    def lifetime_s(self) -> float:
        """The seconds from its start to its end, or to now."""
        return (time.monotonic() if self.ended_s is None else self.ended_s) - self.started_s

    async def _spawn(self, child: socket.socket) -> None:
        with self.log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._plan.command,
                cwd=self._plan.folder,
                env=self._plan.environment(replica=self.id, control_fd=child.fileno(), log_format=self._log_format),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                pass_fds=(child.fileno(),),
                start_new_session=True,  # Ctrl-C at the terminal reaches us alone; we stop the replicas in order
            )
        self.pid = self._process.pid
        self._start_timer = asyncio.get_running_loop().call_later(self._plan.start_limit_s, self._start_too_long)
        if self.was_stopped:
            self.stop()  # `stop` was called while the process was being started

    def _start_too_long(self) -> None:
        if self.state is ReplicaState.STARTING:
            self.failure = f"not ready within {self._plan.start_limit_s:g} s"
            self._kill_group()

    def _cut(self) -> None:
        """Cut what still runs by a second SIGTERM: the grace is over."""
        self._cut_at_s = -math.inf
        self._signal(signal.SIGTERM)
        self._set_stop_timer(_CUT_S, self.kill)

    async def _hear(self, reader: asyncio.StreamReader) -> None:
        try:
            async for line in reader:
                self._heard(line)
        except (ConnectionError, ValueError):  # the end, or a line that is too long
            return

    def _heard(self, line: bytes) -> None:
        try:
            event = msgspec.json.decode(line, type=_ControlEvent)
        except msgspec.DecodeError as error:
            _log.warning("replica=%s sent an invalid control event: %s", self.id, error)
            return
        if event.event == "phase":
            self.phases_s[event.phase] = event.seconds
        elif event.event == "ready":
            self._heard_ready(event)
        elif event.event == "draining":
            self._is_told = True
            self._become(ReplicaState.DRAINING)
        elif event.event == "failed" and self.failure is None:
            self.failure = f"{event.phase}: {event.error}"

    def _heard_ready(self, event: _ControlEvent) -> None:
        self.port, self.stats_port = event.port, event.stats_port
        self.max_in_flight = max(1, event.max_in_flight)
        self.phases_s.update(event.cold_start_s)
        if self.state is ReplicaState.STARTING:
            self.ready_s = time.monotonic()
            self._become(ReplicaState.READY)

    def _ended(self, code: int | None) -> None:
        self.exit_code = code
        self.ended_s = time.monotonic()
        self._become(ReplicaState.ENDED)

    def _become(self, state: ReplicaState) -> None:
        if self.state is not state and self.state is not ReplicaState.ENDED:
            self.state = state
            self._on_change(self)

    def _signal(self, number: int) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _kill_group(self) -> None:
        """Kill the process group, which the process leads: itself and what it started."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS, where only zombies are left
            os.killpg(self._process.pid, signal.SIGKILL)

    def _set_stop_timer(self, wait_s: float, then: Callable[[], None]) -> None:
        if self._stop_timer is not None:
            self._stop_timer.cancel()
        self._stop_timer = asyncio.get_running_loop().call_later(wait_s, then)

    def _cancel_timers(self) -> None:
        for timer in (self._stop_timer, self._start_timer):
            if timer is not None:
                timer.cancel()

    def status(self) -> dict[str, Any]:
        """Return what `dilu ps` shows of it."""
        return {
            "id": self.id,
            "pid": self.pid,
            "state": str(self.state),
            "port": self.port or None,
            "restarts": self.restarts,
        }


def last_lines(path: Path, lines: int) -> list[str]:
    """Return the last lines of a text file, at most 64 KiB of them; none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MAX_TAIL_BYTES))
            return file.read().decode(errors="replace").splitlines()[-lines:]
    except OSError:
        return []
