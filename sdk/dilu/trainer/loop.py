"""The training thread: load, resume, iterate, checkpoint; without signals, sockets or terminals."""

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
# Scalars may be tensors on a device, and reading one waits for the device, so they are read at this interval.
_SCALARS_EVERY_S = 0.5


@final
class TrainingFailedError(DiluError):
    """A run failed in the user's code or on the disk. The message says where; `__cause__` is the original error."""


class End(StrEnum):
    """The end of a run that did not fail."""

    FINISHED = "finished"  # steps ended, or the last requested iteration is done
    STOPPED = "stopped"  # a stop was requested


class TrainingLoop:
    """Runs one training function. `run` is for one thread; the other methods are thread-safe."""

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
        self.doing = "load"  # the current activity, for messages
        self.is_iterating = False  # after load and resume: a stop saves the state

    def request_stop(self) -> None:
        """Stop after the current iteration, with a checkpoint."""
        self._stop.set()

    def run(self) -> End:
        """Train to the end or to a stop. Raise `TrainingFailedError` or `ConfigError`."""
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
        with _naming(f"resume from {found}", "fix it, or start again with --fresh"):
            function.resume(found.path)
        self._iteration = found.iteration
        self._metrics.resumed(found.iteration)
        _log.info("resumed from %s", found)

    def _iterate(self, function: Any, steps: Iterator[Any]) -> End:
        """Iterate until `steps` ends, the last requested iteration is done, or a stop."""
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
        """Run one iteration. Return False if `steps` has ended instead."""
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
        not_finite = [name for name, value in read.items() if not math.isfinite(value)]
        if not_finite:
            _log.warning(
                "iteration %d: %s", self._iteration, ", ".join(f"{name} is {read[name]}" for name in not_finite)
            )
        self._metrics.yielded(read)

    def _saved_iteration(self) -> int:
        """Return the iteration whose state is saved: that of the newest checkpoint, or 0, the state after load."""
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
    """Turn any error of the user's code into a `TrainingFailedError` that says where."""
    try:
        yield
    except BaseException as error:  # it may call sys.exit(), too
        rest = f"; {way_out}" if way_out else ""
        raise TrainingFailedError(f"{where}: {_described(error)}{rest}") from error


def _described(error: BaseException) -> str:
    """Return `ValueError: text (app.py:14)`, with the deepest frame outside of Dilu and of installed packages."""
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
        raise IsADirectoryError(f"{error}; path is a folder; write into it, such as path / 'state.pt'") from error


def _as_numbers(scalars: object) -> dict[str, float]:
    if not isinstance(scalars, Mapping):
        raise TypeError(f"steps yielded {_short(scalars)}, must be a mapping of names to numbers, or nothing")
    return {str(name): _as_number(name, value) for name, value in scalars.items()}


def _as_number(name: object, value: Any) -> float:
    if not isinstance(value, str):  # float("1") would succeed
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"steps yielded {name} = {_short(value)}, must be a number")


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:77] + "..."


def _close(steps: Iterator[Any]) -> None:
    """Run the generator's `finally` blocks; the state is saved already."""
    try:
        close = getattr(steps, "close", None)
        if close is not None:
            close()
    except Exception:
        _log.warning("steps raised an error while it was closed; the checkpoint is complete", exc_info=True)
