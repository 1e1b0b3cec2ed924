"""One `dilu up` for the demo: started, watched and stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from dilu.errors import DiluError
from dilu_autoscaler.local.client import platforms_up, read_status

_SAMPLE_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class ServedFunction:
    """The one function of a platform that is up."""

    platform: str
    url: str

    def status(self) -> dict[str, Any]:
        """Return its entry in the platform's status document."""
        return _status(self.platform)


@contextmanager
def platform(target: Path, name: str, options: list[str], log_path: Path) -> Iterator[ServedFunction]:
    """Serve `target` until the block ends; raise ClickException where `dilu up` fails."""
    command = [sys.executable, "-m", "dilu", "up", str(target), "--port", "0", "--name", name, *options]
    with log_path.open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
        try:
            yield ServedFunction(name, _wait_for_gateway(process, name, log_path))
        finally:
            process.send_signal(signal.SIGINT)
            code = process.wait(60)
    if code != 0:
        raise click.ClickException(f"dilu up ended with exit code {code}; its log is {log_path}")


def wait_for(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Return once the condition holds; raise ClickException after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise click.ClickException(f"timed out after {timeout_s:.0f} s: {what}")
        time.sleep(0.2)


class Timeline:
    """The function's status twice a second, while the block runs."""

    def __init__(self, function: ServedFunction) -> None:
        self.samples: list[dict[str, Any]] = []
        self._function = function
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def sample(self) -> dict[str, Any]:
        """Record the function's status and return it."""
        status = self._function.status()
        self.samples.append({"unix_s": time.time(), **status})
        return status

    def _watch(self) -> None:
        while not self._stop.wait(_SAMPLE_EVERY_S):
            self.sample()

    def __enter__(self) -> Timeline:
        self._watcher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._watcher.join()


def _wait_for_gateway(process: subprocess.Popen[str], name: str, log_path: Path) -> str:
    deadline_s = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            url: str = _status(name)["url"]
            return url
        except DiluError:  # it does not listen yet
            time.sleep(0.1)
    raise click.ClickException(f"dilu up did not start:\n{log_path.read_text()}")


def _status(name: str) -> dict[str, Any]:
    status: dict[str, Any] = read_status(platforms_up(name)[0])["functions"][0]
    return status
