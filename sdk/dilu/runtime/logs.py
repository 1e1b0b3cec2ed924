"""Log formats: plain text or one JSON object per line, with the ids of the requests being handled."""

from __future__ import annotations

import logging
import queue
import sys
import threading
from contextvars import ContextVar
from typing import Any, TextIO

import msgspec

from dilu.errors import ConfigError
from dilu.spec import names

# The ids of the requests of the batch that runs in this thread or task; log lines of the handler contain them.
current_request_ids: ContextVar[list[str] | None] = ContextVar("dilu_request_ids", default=None)

FORMATS = (names.LOG_FORMAT_PLAIN, names.LOG_FORMAT_JSON)
_MAX_WAITING_LINES = 10_000


def configure_logging(*, log_format: str, function: str | None = None, replica: str | None = None) -> None:
    """Send the lines of all loggers to stderr in `log_format` (`plain` or `json`). Only commands call this."""
    if log_format not in FORMATS:
        raise ConfigError(f"log format = {log_format!r}, must be one of {', '.join(FORMATS)}")
    handler = ThreadedHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(function, replica) if log_format == names.LOG_FORMAT_JSON else PlainFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class ThreadedHandler(logging.Handler):
    """Writes lines in a thread of its own, so that a full pipe does not stop the requests.

    Lines that do not fit into the queue are dropped and counted; the count is logged when there is room again.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: queue.Queue[str | None] = queue.Queue(_MAX_WAITING_LINES)
        self._lost = 0
        self._writer = threading.Thread(target=self._write, name="dilu-log", daemon=True)
        self._writer.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Format the record here, with the ids of this thread's requests, and queue it for the writer."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write the queued lines and end the thread."""
        self._lines.put(None)
        self._writer.join()
        super().close()

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            lost, self._lost = self._lost, 0
            if lost:
                line = f"({lost} log lines were dropped: the reader of stderr was too slow)\n{line}"
            try:
                print(line, file=self._stream, flush=True)
            except (OSError, ValueError):
                return  # the stream is closed: there is no place to report it


class PlainFormatter(logging.Formatter):
    """Lines such as `12:03:04.567 INFO dilu.runtime: text (request 4f-1)`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the request ids at its end if there are any."""
        line = super().format(record)
        ids = _request_ids(record)
        return _writable(f"{line} (request {', '.join(ids)})" if ids else line)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ts, level, logger, message, function, replica, request_ids, exception."""

    def __init__(self, function: str | None, replica: str | None) -> None:
        super().__init__()
        self._about = {key: value for key, value in (("function", function), ("replica", replica)) if value}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one JSON object."""
        entry: dict[str, Any] = {
            "ts": round(record.created, 6),
            "level": record.levelname,
            "logger": record.name,
            "message": _writable(record.getMessage()),
            **self._about,
        }
        if ids := _request_ids(record):
            entry["request_ids"] = ids
        if record.exc_info:
            entry["exception"] = _writable(self.formatException(record.exc_info))
        return msgspec.json.encode(entry).decode()


def _writable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot encode, escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _request_ids(record: logging.LogRecord) -> list[str]:
    """Return the ids given with the record (`extra={"request_ids": [...]}`), else those of the running batch."""
    return getattr(record, "request_ids", None) or current_request_ids.get() or []
