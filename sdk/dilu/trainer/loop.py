"""The training thread: load, resume, iterate, checkpoint. It knows no signals, sockets or terminals."""

from __future__ import annotations

import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, final

from dilu.errors import DiluError
from dilu.spec import names
from dilu.trainer.checkpoints import CheckpointStore
from dilu.trainer.metrics import TrainingMetrics
from dilu.trainer.plan import TrainingPlan
from dilu.training_handlers import TrainingDefinition

_log = logging.getLogger(__name__)

PHASE_RESUME: Final = "resume"
# Scalars may be tensors on a device, and reading one waits for the device. So they are read this often, not always.
_SCALARS_EVERY_S = 0.5


@final
class TrainingFailedError(DiluError):
    """The user's code, or the disk, ended a run. The message says where; `__cause__` is what was raised."""


class End(StrEnum):
    """How a run that did not fail ended."""

    FINISHED = "finished"  # steps ended, or the last iteration that was asked for is done
    STOPPED = "stopped"  # somebody asked for it


class TrainingLoop:
    """Runs one training function. `run` belongs to one thread; the rest may be called from any."""

    def __init__(
        self,
        definition: TrainingDefinition,
        plan: TrainingPlan,
        store: CheckpointStore,
        metrics: TrainingMetrics,
        *,
        on_phase: Callable[[str, float], None] = lambda phase, seconds: None,
        on_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._definition = definition
        self._plan = plan
        self._store = store
        self._metrics = metrics
        self._on_phase = on_phase
        self._on_ready = on_ready
        self._stop = threading.Event()
        self._iteration = 0
        self._scalars: object = None
        self._scalars_read_s = -math.inf
        self.doing = "load"  # what the user's code is at, for messages
        self.is_iterating = False  # load and resume are over: a stop saves the state

    def request_stop(self) -> None:
        """End after the current iteration, with a checkpoint."""
        self._stop.set()

    def run(self) -> End:
        """Train to the end or to a stop. Raises `TrainingFailedError` and `ConfigError`."""
        function = self._timed(names.PHASE_LOAD, self._load)
        self._timed(PHASE_RESUME, lambda: self._resume(function))
        self.doing = "steps"
        self.is_iterating = True
        self._on_ready()
        with _naming("steps"):
            steps = iter(function.steps())
        end = self._iterate(function, steps)
        self._read_scalars(time.monotonic())
        if self._iteration != self._saved_iteration():
            self._checkpoint(function)
        _close(steps)
        return end

    def _load(self) -> Any:
        with _naming("load"):
            function = self._definition.target()
            if hasattr(function, "load"):
                function.load()
            return function

    def _resume(self, function: Any) -> None:
        found = None if self._plan.is_fresh else self._store.newest()
        if found is None:
            return
        self.doing = f"resume from {found}"
        with _naming(f"resume from {found}", "mend it, or begin anew with --fresh"):
            function.resume(found.path)
        self._iteration = found.iteration
        self._metrics.resumed(found.iteration)
        _log.info("resumed from %s", found)

    def _iterate(self, function: Any, steps: Iterator[Any]) -> End:
        """Iterations until there are no more, as many are done as were asked for, or a stop."""
        began_s = saved_s = time.monotonic()
        saved_iteration = self._iteration
        while not self._stop.is_set():
            if self._plan.last_iteration is not None and self._iteration >= self._plan.last_iteration:
                return End.FINISHED
            if not self._step(steps):
                return End.FINISHED
            ended_s = time.monotonic()
            self._metrics.iteration_ended(ended_s - began_s, ended_s)
            if ended_s - self._scalars_read_s >= _SCALARS_EVERY_S:
                self._read_scalars(ended_s)
            if self._plan.every.is_due(iterations=self._iteration - saved_iteration, seconds=ended_s - saved_s):
                self._checkpoint(function)
                ended_s = saved_s = time.monotonic()
                saved_iteration = self._iteration
            began_s = ended_s
        return End.STOPPED

    def _step(self, steps: Iterator[Any]) -> bool:
        """One iteration; whether there was one."""
        self.doing = f"iteration {self._iteration + 1}"
        with _naming(self.doing):
            try:
                self._scalars = next(steps)
            except StopIteration:
                return False
        self._iteration += 1
        return True

    def _read_scalars(self, now_s: float) -> None:
        scalars, self._scalars = self._scalars, None
        if scalars is None:
            return
        self._scalars_read_s = now_s
        with _naming(f"iteration {self._iteration}"):
            read = _as_numbers(scalars)
        strange = [name for name, value in read.items() if not math.isfinite(value)]
        if strange:
            _log.warning("iteration %d: %s", self._iteration, ", ".join(f"{name} is {read[name]}" for name in strange))
        self._metrics.yielded(read)

    def _saved_iteration(self) -> int:
        """The iteration whose state needs no saving: the newest checkpoint's, or 0, which load makes."""
        return 0 if self._store.latest is None else self._store.latest.iteration

    def _checkpoint(self, function: Any) -> None:
        self.doing = f"the checkpoint after iteration {self._iteration}"
        began_s = time.monotonic()
        with _naming(self.doing):
            written = self._store.write(self._iteration, lambda path: _save(function, path))
        seconds = time.monotonic() - began_s
        self._metrics.checkpointed(self._iteration, seconds)
        _log.info("checkpoint %s in %.2f s", written, seconds)

    def _timed(self, phase: str, work: Callable[[], Any]) -> Any:
        began_s = time.monotonic()
        result = work()
        self._on_phase(phase, time.monotonic() - began_s)
        return result


@contextmanager
def _naming(where: str, way_out: str = "") -> Iterator[None]:
    """Turns whatever the user's code raises into a `TrainingFailedError` that says where."""
    try:
        yield
    except BaseException as error:  # it may call sys.exit() as well
        rest = f"; {way_out}" if way_out else ""
        raise TrainingFailedError(f"{where}: {_told(error)}{rest}") from error


def _told(error: BaseException) -> str:
    """`ValueError: text (app.py:14)`: the deepest frame outside of Dilu and of installed packages, if there is one."""
    text = f"{type(error).__name__}: {error}".partition("\n")[0].removesuffix(": ")
    own = __file__.rpartition("/trainer/")[0] + "/"
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((own, "<")) and "/site-packages/" not in frame.filename
    ]
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text


def _save(function: Any, path: Path) -> None:
    try:
        function.checkpoint(path)
    except IsADirectoryError as error:
        raise IsADirectoryError(f"{error}; path is a folder, write into it: path / 'state.pt'") from error


def _as_numbers(scalars: object) -> dict[str, float]:
    if not isinstance(scalars, Mapping):
        raise TypeError(f"steps yielded {_short(scalars)}, must be a mapping of names to numbers, or nothing")
    return {str(name): _as_number(name, value) for name, value in scalars.items()}


def _as_number(name: object, value: Any) -> float:
    if not isinstance(value, str):  # float("1") would do it
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"steps yielded {name} = {_short(value)}, must be a number")


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _close(steps: Iterator[Any]) -> None:
    """Let the generator's `finally` blocks run; the state is saved already."""
    try:
        close = getattr(steps, "close", None)
        if close is not None:
            close()
    except Exception:
        _log.warning("steps raised while it was closed; the checkpoint is whole", exc_info=True)
