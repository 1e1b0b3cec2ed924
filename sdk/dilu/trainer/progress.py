"""The progress of a run: a line that is rewritten on a terminal, or log lines."""

from __future__ import annotations

import os
import shutil
import threading
from types import TracebackType
from typing import Any, Self, TextIO, cast

from dilu.trainer.metrics import TrainingProgress

_ERASE = "\r\x1b[K"


def progress_text(function: str, now: TrainingProgress, last_iteration: int | None) -> str:
    """Return the progress in one line: `fine-tune: iteration 120/1000, 12.3/s, KLC 81 ms, loss 0.312`."""
    of = "" if last_iteration is None else f"/{last_iteration}"
    parts = [f"{function}: iteration {now.iteration}{of}"]
    if now.iterations_per_s is not None:
        parts.append(f"{now.iterations_per_s:.3g}/s")
    if now.klc is not None:
        parts.append(f"KLC {_duration(now.klc.mean_s)}")
    parts += [f"{name} {value:.4g}" for name, value in now.scalars.items()]
    if now.checkpoint_iteration is not None:
        parts.append(f"checkpoint {now.checkpoint_iteration}")
    if last_iteration is not None and now.iterations_per_s:
        parts.append(f"{_clock((last_iteration - now.iteration) / now.iterations_per_s)} left")
    return ", ".join(parts)


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class StatusLine:
    """The last line of a terminal, rewritten in place; all other output goes above it."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._lock = threading.RLock()
        self._text = ""  # the text that is shown now
        self._at_line_start = True
        os.register_at_fork(after_in_child=self._forked)

    def above(self, stream: TextIO) -> TextIO:
        """Return a stream that replaces `stream` and writes above the line, to the same terminal."""
        return cast("TextIO", _Above(self, stream))

    def show(self, text: str) -> None:
        """Show `text`, now or when the current line of other output ends."""
        with self._lock:
            self._text = text[: shutil.get_terminal_size().columns - 1]
            if self._at_line_start:
                self._put(_ERASE + self._text)

    def clear(self) -> None:
        """Remove the line."""
        self.show("")

    def write_above(self, stream: TextIO, text: str) -> int:
        """Write `text` to the stream, above the line."""
        with self._lock:
            if self._text and self._at_line_start:
                self._put(_ERASE)
            written = stream.write(text)
            self._at_line_start = text.endswith(("\n", "\r")) if text else self._at_line_start
            if self._text and self._at_line_start:
                stream.flush()
                self._put(self._text)
            return written

    def _put(self, text: str) -> None:
        self._terminal.write(text)
        self._terminal.flush()

    def _forked(self) -> None:
        """Reset in a forked child: it shows no line, and a thread of the parent may hold the lock."""
        self._lock = threading.RLock()
        self._text = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.clear()


class _Above:
    """A text stream that writes above a status line; all other attributes are the stream's own."""

    def __init__(self, line: StatusLine, stream: TextIO) -> None:
        self._line = line
        self._stream = stream

    def write(self, text: str) -> int:
        """Write `text` above the line."""
        return self._line.write_above(self._stream, text)

    def writelines(self, lines: Any) -> None:
        """Write each line above the status line."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
