"""The life of one run, from its first instruction to its exit code: import, load, resume, iterate, stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from dilu.errors import ConfigError, DiluError
from dilu.http.listener import Listener, bind
from dilu.loading import load_training
from dilu.runtime.control import ControlLine
from dilu.runtime.execution.service import State
from dilu.runtime.process import seconds_since_process_start
from dilu.runtime.routes.stats_app import StatsApp
from dilu.runtime.settings import ReplicaSettings
from dilu.spec import Kind, merge, names
from dilu.trainer.checkpoints import CheckpointStore
from dilu.trainer.loop import PHASE_RESUME, End, TrainingFailedError, TrainingLoop
from dilu.trainer.metrics import TrainingMetrics
from dilu.trainer.plan import TrainingPlan
from dilu.trainer.process import THREAD_NAME, shield_forks
from dilu.trainer.progress import StatusLine, progress_text
from dilu.training_handlers import TrainingDefinition
from dilu.version import sdk_version

_log = logging.getLogger(__name__)

_POLL_S = 0.2  # interval at which stops and deadlines are checked and the line on a terminal is rewritten
_LOG_EVERY_S = 10.0  # interval of progress in the log, without a terminal


class TrainingRun:
    """Trains one loaded definition to its end, or until it is told to stop."""

    def __init__(
        self,
        definition: TrainingDefinition,
        plan: TrainingPlan,
        settings: ReplicaSettings,
        control: ControlLine,
        line: StatusLine | None,
    ) -> None:
        self.state = State.STARTING
        self.metrics = TrainingMetrics(definition.spec.name, version=sdk_version())
        self._name = definition.spec.name
        self._definition = definition
        self._plan = plan
        self._settings = settings
        self._control = control
        self._line = line
        self._began_s = time.monotonic()
        self._shown_s = self._began_s
        self._deadline_s = float("inf")  # of a stop, on the monotonic clock
        self._cut_by: signal.Signals | None = None
        self._socket = bind(settings.host, settings.stats_port)
        folder = plan.checkpoint_dir or Path("checkpoints") / self._name
        self._store = CheckpointStore(folder, function=self._name, keep=plan.keep)
        self._loop = TrainingLoop(
            definition,
            plan,
            self._store,
            self.metrics,
            on_phase=self._from_thread(self._phase_ended),
            on_ready=self._from_thread(self._ready),
        )

    def stats(self, replica: str | None) -> dict[str, Any]:
        """Return the body of `/v1/stats`."""
        about = {"function": self._name, "replica": replica, "kind": str(Kind.TRAINING), "state": self.state.value}
        return {**about, "last_iteration": self._plan.last_iteration, **self.metrics.stats(time.monotonic())}

    async def run(self) -> int:
        """Train. Return the exit code (0 finished or stopped, 1 failed or cut, 128 + n at a second signal n)."""
        self._listener = Listener(StatsApp(self, self.metrics.registry(), replica=self._settings.replica), self._socket)
        await self._listener.start()
        shield_forks(self._inherited_fds)
        self._watch_for_stop()
        trained = self._start_thread()
        code = await self._wait(trained)
        if self._line is not None:
            self._line.clear()
        self.state = State.DRAINING
        code = self._ended(trained) if code is None else code
        await self._listener.close(0.0)
        self._control.close()
        if trained.done():
            self._store.close()
        return code

    def _start_thread(self) -> asyncio.Future[End]:
        """Run the training in a daemon thread. Return the future of its outcome."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[End] = loop.create_future()

        def train() -> None:
            try:
                end = self._loop.run()
            except BaseException as error:
                loop.call_soon_threadsafe(outcome.set_exception, error)
            else:
                loop.call_soon_threadsafe(outcome.set_result, end)

        threading.Thread(target=train, name=THREAD_NAME, daemon=True).start()
        return outcome

    async def _wait(self, trained: asyncio.Future[End]) -> int | None:
        """Wait for the training. Return None when it has ended, or the exit code if it is abandoned."""
        while not trained.done():
            await asyncio.wait({trained}, timeout=_POLL_S)
            if not trained.done() and (code := self._code_if_cut()) is not None:
                return code
            self._show_progress()
        return None

    def _code_if_cut(self) -> int | None:
        """Return the exit code if the training is no longer waited for, else None."""
        if self._cut_by is not None:
            _log.warning("ended at once by a second signal, in %s; %s", self._loop.doing, self._way_back())
            return 128 + self._cut_by
        if self.state is State.DRAINING and not self._loop.is_iterating:
            _log.info("stopped in %s; %s", self._loop.doing, self._way_back())
            return 0
        if time.monotonic() >= self._deadline_s:
            _log.error(
                "cut: %s did not end within %g s of the stop; %s",
                *(self._loop.doing, self._plan.stop_timeout_s, self._way_back()),
            )
            return 1
        return None

    def _ended(self, trained: asyncio.Future[End]) -> int:
        """Log how the training ended. Return the exit code."""
        now = self.metrics.progress(time.monotonic())
        error = trained.exception()
        if error is None:
            took_s = time.monotonic() - self._began_s
            text = progress_text(self._name, now, None)
            _log.info("%s: %d iterations in %.1f s; %s", trained.result(), now.run_iterations, took_s, text)
            return 0
        if isinstance(error, TrainingFailedError):
            _log.error("%s failed in %s", self._name, error, exc_info=error.__cause__)
            _log.error(self._way_back())
            self._control.send("failed", phase=self._phase(), error=str(error).partition("\n")[0])
            return 1
        raise error

    def _phase(self) -> str:
        """Return the phase in which the training failed."""
        ended = self.metrics.cold_start_s
        return next((phase for phase in (names.PHASE_LOAD, PHASE_RESUME) if phase not in ended), "steps")

    def _way_back(self) -> str:
        latest = self._store.latest
        if latest is None:
            return f"this run has no checkpoint in {self._store.folder}"
        return f"the newest checkpoint is {latest}; the next run resumes from it"

    def _watch_for_stop(self) -> None:
        loop = asyncio.get_running_loop()

        def stop(number: signal.Signals | None) -> None:
            if self.state is State.DRAINING:
                self._cut_by = number
            else:
                self.state = State.DRAINING
                self._deadline_s = time.monotonic() + self._plan.stop_timeout_s
                self._loop.request_stop()
                self._control.send("draining")
                _log.info("stopping after %s; a second signal ends at once", self._loop.doing)

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        self._control.watch(lambda: None if self.state is State.DRAINING else stop(None))

    def _from_thread(self, call: Callable[..., object]) -> Callable[..., None]:
        """Return a function that makes the call on the loop."""
        loop = asyncio.get_running_loop()

        def forward(*arguments: Any) -> None:
            loop.call_soon_threadsafe(call, *arguments)

        return forward

    def _phase_ended(self, phase: str, seconds: float) -> None:
        self.metrics.cold_start_s[phase] = seconds
        self._control.send("phase", phase=phase, seconds=seconds)

    def _ready(self) -> None:
        if self.state is State.STARTING:
            self.state = State.READY
        cold_start_s = self.metrics.cold_start_s
        phases = ", ".join(f"{phase} {seconds:.2f} s" for phase, seconds in cold_start_s.items())
        _log.info("%s trains, stats on port %d, %s", self._name, self._listener.port, phases)
        self._control.send("ready", stats_port=self._listener.port, pid=os.getpid(), cold_start_s=cold_start_s)

    def _show_progress(self) -> None:
        now_s = time.monotonic()
        if self._line is None and now_s - self._shown_s < _LOG_EVERY_S:
            return
        self._shown_s = now_s
        text = progress_text(self._name, self.metrics.progress(now_s), self._plan.last_iteration)
        if self._line is not None:
            self._line.show(f"{self._name}: {self._loop.doing}" if self.state is State.STARTING else text)
        elif self._loop.is_iterating:
            _log.info(text)

    def _inherited_fds(self) -> list[int]:
        """Return the file descriptors that a forked child must close."""
        return [*self._listener.fds(), *self._control.fds(), self._store.lock_fd]


def run_training(target: str, plan: TrainingPlan, settings: ReplicaSettings, line: StatusLine | None) -> int:
    """Import `target` and train it. Return the exit code.

    Raise `DiluError` for errors that the user has to fix; they are also sent to the supervisor.
    """
    control = ControlLine(settings.control_fd)
    phase = names.PHASE_IMPORT
    process_s = seconds_since_process_start()
    control.send("phase", phase=names.PHASE_PROCESS, seconds=process_s)
    began_s = time.monotonic()
    try:
        definition = _overridden(load_training(target), settings)
        import_s = time.monotonic() - began_s
        control.send("phase", phase=phase, seconds=import_s)
        phase = names.PHASE_LOAD

        async def train() -> int:
            run = TrainingRun(definition, plan, settings, control, line)
            run.metrics.cold_start_s.update({names.PHASE_PROCESS: process_s, names.PHASE_IMPORT: import_s})
            return await run.run()

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(train())
    except DiluError as error:
        control.send("failed", phase=phase, error=str(error))
        raise


def _overridden(definition: TrainingDefinition, settings: ReplicaSettings) -> TrainingDefinition:
    """Return the definition with the deployment's values in place of the decorator's."""
    if not settings.overrides:
        return definition
    spec = merge(definition.spec, settings.overrides)
    if spec.kind is not Kind.TRAINING:
        raise ConfigError(f"kind = {spec.kind}: {spec.name} is a training function; only its code can change that")
    return TrainingDefinition(spec=spec, target=definition.target)
