"""The training thread: what is called in which order, and what an error says."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dilu
from dilu.errors import DiluError
from dilu.trainer.checkpoints import CheckpointStore
from dilu.trainer.loop import End, TrainingFailedError, TrainingLoop
from dilu.trainer.metrics import TrainingMetrics
from dilu.trainer.plan import CheckpointEvery, TrainingPlan
from dilu.training_handlers import training_definition_of

NEVER = CheckpointEvery()


class Count:
    """Counts to `last`, and keeps a log of what was called."""

    last = 5
    calls: list[Any]
    loop: TrainingLoop
    do: Callable[[int], Any] = staticmethod(lambda n: {"loss": 1 / n})

    def load(self) -> None:
        self.n = 0
        self.calls.append("load")

    def steps(self) -> Iterator[Any]:
        try:
            while self.n < self.last:
                self.n += 1
                yield self.do(self.n)
        finally:
            self.calls.append("closed")

    def checkpoint(self, path: Path) -> None:
        (path / "n.json").write_text(json.dumps(self.n))
        self.calls.append(("checkpoint", self.n))

    def resume(self, path: Path) -> None:
        self.n = json.loads((path / "n.json").read_text())
        self.calls.append(("resume", self.n))


class Run:
    """One run in this thread, and what came of it."""

    def __init__(self, folder: Path, plan: TrainingPlan | None = None, **attributes: Any) -> None:
        self.calls: list[Any] = []
        self.metrics = TrainingMetrics("count")
        self.store = CheckpointStore(folder, function="count", keep=3)
        target: Any = dilu.training(name="count")(type("Counting", (Count,), {"calls": self.calls, **attributes}))
        definition = training_definition_of(target)
        assert definition is not None
        self.phases: list[str] = []
        self.loop = TrainingLoop(
            definition,
            plan or TrainingPlan(every=NEVER),
            self.store,
            self.metrics,
            on_phase=lambda phase, seconds: self.phases.append(phase),
            on_ready=lambda: self.calls.append("ready"),
        )
        target.loop = self.loop
        self.error: BaseException | None = None
        self.end: End | None = None
        try:
            self.end = self.loop.run()
        except DiluError as error:
            self.error = error
        finally:
            self.store.close()
        self.seen = self.metrics.progress(0.0)


def test_a_run_loads_steps_and_saves_its_end(tmp_path: Path) -> None:
    run = Run(tmp_path)
    assert run.end is End.FINISHED
    assert run.calls == ["load", "ready", "closed", ("checkpoint", 5)]
    assert run.phases == ["load", "resume"]
    assert (run.seen.iteration, run.seen.run_iterations, run.seen.checkpoint_iteration) == (5, 5, 5)
    assert run.seen.scalars == {"loss": 0.2}


def test_the_next_run_goes_on_from_there(tmp_path: Path) -> None:
    Run(tmp_path)
    run = Run(tmp_path, last=8)
    assert run.calls == ["load", ("resume", 5), "ready", "closed", ("checkpoint", 8)]
    assert (run.seen.iteration, run.seen.run_iterations) == (8, 3)


def test_a_fresh_run_begins_at_zero(tmp_path: Path) -> None:
    Run(tmp_path)
    run = Run(tmp_path, TrainingPlan(every=NEVER, is_fresh=True), last=2)
    assert run.calls == ["load", "ready", "closed", ("checkpoint", 2)]
    again = Run(tmp_path, last=3)
    assert again.calls[1] == ("resume", 2)


def test_a_run_with_nothing_left_to_do_saves_nothing(tmp_path: Path) -> None:
    Run(tmp_path)
    run = Run(tmp_path)
    assert run.end is End.FINISHED
    assert run.calls == ["load", ("resume", 5), "ready", "closed"]
    assert run.seen.checkpoint_iteration == 5


def test_iterations_are_counted_over_all_runs(tmp_path: Path) -> None:
    Run(tmp_path, TrainingPlan(every=NEVER, last_iteration=2))
    run = Run(tmp_path, TrainingPlan(every=NEVER, last_iteration=3))
    assert run.end is End.FINISHED
    assert run.calls == ["load", ("resume", 2), "ready", ("checkpoint", 3), "closed"]


def test_checkpoints_come_every_n_iterations(tmp_path: Path) -> None:
    run = Run(tmp_path, TrainingPlan(every=CheckpointEvery(iterations=2)))
    assert [call for call in run.calls if call[0] == "checkpoint"] == [("checkpoint", n) for n in (2, 4, 5)]


def test_a_stop_ends_after_the_iteration_with_a_checkpoint_before_the_generator_is_closed(tmp_path: Path) -> None:
    def stop_in_third(self: Count) -> Iterator[dict[str, float]]:
        for self.n in range(1, 9):
            if self.n == 3:
                self.loop.request_stop()
            try:
                yield {"n": self.n}
            except GeneratorExit:
                self.calls.append("closed")
                raise

    run = Run(tmp_path, steps=stop_in_third)
    assert run.end is End.STOPPED
    assert run.calls == ["load", "ready", ("checkpoint", 3), "closed"]
    assert run.seen.scalars == {"n": 3.0}


def test_a_failing_step_names_its_iteration_and_line_and_saves_nothing(tmp_path: Path) -> None:
    def fail(n: int) -> dict[str, float]:
        return {"loss": 1 / (3 - n)}

    run = Run(tmp_path, TrainingPlan(every=CheckpointEvery(iterations=2)), do=staticmethod(fail))
    assert isinstance(run.error, TrainingFailedError)
    assert str(run.error).startswith("iteration 3: ZeroDivisionError: division by zero (")
    assert "test_training_loop.py:" in str(run.error)
    assert isinstance(run.error.__cause__, ZeroDivisionError)
    assert run.store.latest is not None
    assert run.store.latest.iteration == 2
    assert [call for call in run.calls if call[0] == "checkpoint"] == [("checkpoint", 2)]


def raising(error: BaseException) -> Callable[..., Any]:
    def method(*arguments: Any) -> Any:
        raise error

    return method


def writing_to_the_folder(self: Any, path: Path) -> None:
    path.write_text("state")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"load": raising(OSError("no weights"))}, "load: OSError: no weights ("),
        ({"__init__": raising(ValueError("x"))}, "load: ValueError: x ("),
        ({"checkpoint": raising(OSError(28, "No space left on device"))}, "the checkpoint after iteration 5: OSError:"),
        (
            {"checkpoint": lambda self, path: None},
            "checkpoint after iteration 5: FileNotFoundError: checkpoint wrote no",
        ),
        ({"checkpoint": writing_to_the_folder}, "path is a folder; write into it, such as path / 'state.pt'"),
        ({"do": lambda self, n: exit(3)}, "iteration 1: SystemExit: 3"),
        ({"do": lambda self, n: next(iter([]))}, "iteration 1: RuntimeError: generator raised StopIteration"),
        (
            {"do": lambda self, n: 0.3},
            "iteration 1: TypeError: steps yielded 0.3, must be a mapping of names",
        ),
        (
            {"do": lambda self, n: {"loss": "0.3"}},
            "TypeError: steps yielded loss = '0.3', must be a number",
        ),
        ({"do": lambda self, n: {"loss": [1]}}, "iteration 1: TypeError: steps yielded loss = [1], must be a number"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_fails_is_named(tmp_path: Path, attributes: dict[str, Any], message: str) -> None:
    run = Run(tmp_path, **attributes)
    assert isinstance(run.error, TrainingFailedError)
    assert message in str(run.error)
    assert "\n" not in str(run.error)


def test_a_resume_that_fails_is_no_reason_to_start_again(tmp_path: Path) -> None:
    Run(tmp_path)
    run = Run(tmp_path, last=9, resume=raising(KeyError("layer.0")))
    assert isinstance(run.error, TrainingFailedError)
    assert str(run.error).startswith(f"resume from {tmp_path}/000001-iteration-5 (iteration 5): KeyError: 'layer.0' (")
    assert str(run.error).endswith("; fix it, or start again with --fresh")


def test_a_generator_that_raises_while_it_is_closed_does_not_spoil_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def sticky(self: Count) -> Iterator[None]:
        try:
            self.n += 1
            yield
        finally:
            raise RuntimeError("no end")

    run = Run(tmp_path, TrainingPlan(every=NEVER, last_iteration=1), steps=sticky)
    assert run.end is End.FINISHED
    assert run.calls[-1] == ("checkpoint", 1)
    assert "steps raised an error while it was closed" in caplog.text


class Tensor:
    """What a tensor is to us: something with __float__, whose reading takes time."""

    def __init__(self, value: float) -> None:
        self.value = value
        self.reads = 0

    def __float__(self) -> float:
        self.reads += 1
        return self.value


def test_tensors_are_read_seldom_but_the_last_one_surely(tmp_path: Path) -> None:
    tensors = [Tensor(float(n)) for n in range(1000)]
    run = Run(tmp_path, last=999, do=staticmethod(lambda n: {"loss": tensors[n]}))
    assert run.seen.scalars == {"loss": 999.0}
    assert sum(tensor.reads for tensor in tensors) < 100


def test_a_step_may_yield_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, do=staticmethod(lambda n: None))
    assert run.end is End.FINISHED
    assert run.seen.scalars == {}


def test_a_loss_that_is_no_number_any_more_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run = Run(tmp_path, last=1, do=staticmethod(lambda n: {"loss": math.nan}))
    assert run.end is End.FINISHED
    assert "iteration 1: loss is nan" in caplog.text
