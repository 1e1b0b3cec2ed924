"""What people see: one line on a terminal that others print above, and the same text in logs."""

from __future__ import annotations

import io
import re

import pytest

from dilu.trainer.metrics import Klc, TrainingProgress
from dilu.trainer.progress import StatusLine, progress_text

BEGIN = TrainingProgress(
    iteration=0, run_iterations=0, iterations_per_s=None, klc=None, scalars={}, checkpoint_iteration=None
)
GOING = TrainingProgress(
    iteration=120,
    run_iterations=20,
    iterations_per_s=12.34,
    klc=Klc(last_s=0.09, mean_s=0.0812, min_s=0.08),
    scalars={"loss": 0.31234567, "accuracy": 1.0},
    checkpoint_iteration=100,
)


@pytest.mark.parametrize(
    ("progress", "last_iteration", "text"),
    [
        (BEGIN, None, "f: iteration 0"),
        (BEGIN, 10, "f: iteration 0/10"),
        (GOING, None, "f: iteration 120, 12.3/s, KLC 81.2 ms, loss 0.3123, accuracy 1, checkpoint 100"),
        (
            GOING,
            1000,
            "f: iteration 120/1000, 12.3/s, KLC 81.2 ms, loss 0.3123, accuracy 1, checkpoint 100, 1:11 left",
        ),
        (GOING, 1_000_000, "f: iteration 120/1000000, .*, 22:30:28 left"),
    ],
)
def test_progress_is_one_line(progress: TrainingProgress, last_iteration: int | None, text: str) -> None:
    assert re.fullmatch(text.replace("(", r"\("), progress_text("f", progress, last_iteration))


class Terminal(io.StringIO):
    """A terminal of one screen: what is on it after erasing."""

    def screen(self) -> list[str]:
        return [line.rpartition("\x1b[K")[2] for line in self.getvalue().split("\n")]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_what_is_printed_goes_above_the_line(terminal: Terminal) -> None:
    with StatusLine(terminal) as line:
        out = line.above(terminal)
        line.show("iteration 1")
        print("hello", file=out)
        assert terminal.screen() == ["hello", "iteration 1"]
        line.show("iteration 2")
        print("a", "b", file=out)
        out.writelines(["c\n", "d\n"])
        assert terminal.screen() == ["hello", "a b", "c", "d", "iteration 2"]
    assert terminal.screen() == ["hello", "a b", "c", "d", ""]


def test_half_a_line_is_not_written_over(terminal: Terminal) -> None:
    line = StatusLine(terminal)
    out = line.above(terminal)
    line.show("iteration 1")
    out.write("epoch 1 ")
    line.show("iteration 2")
    out.write("done\n")
    assert terminal.screen() == ["epoch 1 done", "iteration 2"]


def test_a_line_is_as_long_as_the_terminal_is_wide(terminal: Terminal) -> None:
    StatusLine(terminal).show("x" * 100)
    assert terminal.screen() == ["x" * 39]


def test_the_stream_is_otherwise_the_same(terminal: Terminal) -> None:
    out = StatusLine(terminal).above(terminal)
    assert out.isatty() is False
    assert out.writable()
