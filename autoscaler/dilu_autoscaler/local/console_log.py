"""The lines of `dilu up` itself: one per event, for people or as JSON."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from dilu.http.listener import SERVER_LOG
from dilu.runtime.logs import JsonFormatter
from dilu_autoscaler.local.proxied_request import ACCESS_LOG

if TYPE_CHECKING:
    from rich.console import Console


class LineFormatter(logging.Formatter):
    """`12:03:04 fn=embed 0->1 reason=from zero: 1 waiting`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the level of a warning or an error, and the requests at its end."""
        line = super().format(record)
        if record.levelno >= logging.WARNING:
            time, _, rest = line.partition(" ")
            line = f"{time} {record.levelname.lower()}: {rest}"
        ids = getattr(record, "request_ids", None)
        return f"{line} (request {', '.join(ids)})" if ids else line


class ConsoleHandler(logging.Handler):
    """Prints above the live view."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record as it is."""
        try:
            self._console.print(self.format(record), markup=False, highlight=False, emoji=False, soft_wrap=True)
        except Exception:
            self.handleError(record)


def configure_events(*, log_format: str, access_log: bool, console: Console | None) -> None:
    """Send every event to the console of the live view, or else to stderr."""
    handler = logging.StreamHandler(sys.stderr) if console is None else ConsoleHandler(console)
    handler.setFormatter(JsonFormatter(None, None) if log_format == "json" else LineFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # The server logs each connection that breaks off; the gateway logs what matters of them.
    logging.getLogger(SERVER_LOG).setLevel(logging.CRITICAL)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    access = logging.getLogger(ACCESS_LOG)
    access.setLevel(logging.INFO if access_log else logging.WARNING)
