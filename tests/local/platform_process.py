"""A real `dilu up` as a child process, in a run directory of its own, for the tests of this folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dilu.spec.names import ENV_RUN_DIR
from dilu_autoscaler.local.client import read_status
from dilu_autoscaler.local.run_directory import RunningPlatform, running
from replica_process import Answer, wait_until

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 30.0

ECHO = """
    import dilu

    @dilu.function(batch=8)
    class Echo:
        def predict(self, items: list[float]):
            return items
"""


@dataclass
class PlatformProcess:
    """One `dilu up` under test."""

    process: subprocess.Popen[bytes]
    root: Path
    log_path: Path
    _up: list[RunningPlatform] = field(default_factory=list)

    def wait_until_up(self) -> None:
        """Return when the gateway listens; fail with the log if the process ended instead."""

        def is_up() -> bool:
            assert self.process.poll() is None, self.log()
            self._up = [one for one in running(self.root) if one.pid == self.process.pid]
            return bool(self._up)

        wait_until(is_up, "the platform is up", START_TIMEOUT_S)

    @property
    def port(self) -> int:
        return int(self._up[0].url.rpartition(":")[2])

    def status(self) -> dict[str, Any]:
        return read_status(self._up[0])

    def function(self, name: str) -> dict[str, Any]:
        """The status of one function."""
        found: dict[str, Any] = next(one for one in self.status()["functions"] if one["name"] == name)
        return found

    def wait_for_ready(self, name: str, count: int) -> list[dict[str, Any]]:
        """The replicas of a function, once exactly `count` are ready and no others run."""

        def is_so() -> bool:
            states = [replica["state"] for replica in self.function(name)["replicas"]]
            return states == ["ready"] * count

        wait_until(is_so, f"{count} ready replicas of {name}", START_TIMEOUT_S)
        replicas: list[dict[str, Any]] = self.function(name)["replicas"]
        return replicas

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        """One request through the gateway, on a connection of its own."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def post(self, path: str, item: Any, headers: dict[str, str] | None = None, timeout_s: float = 30.0) -> Answer:
        """POST one JSON value."""
        return self.request("POST", path, json.dumps(item).encode(), headers, timeout_s)

    def log(self) -> str:
        return self.log_path.read_text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The exit code."""
        return self.process.wait(STOP_TIMEOUT_S)


StartPlatform = Callable[..., PlatformProcess]


@contextmanager
def platforms() -> Iterator[StartPlatform]:
    """Starts platforms, `start(source, *arguments, wait=True)`; ends them all, and fails if a process is left."""
    folder = Path(tempfile.mkdtemp(prefix="dilu-"))  # short: a Unix socket's path is at most 107 bytes
    root = folder / "run"
    started: list[PlatformProcess] = []

    def start(
        source: str,
        *arguments: str,
        wait: bool = True,
        target: str = "app.py",
        beside: Mapping[str, str] = MappingProxyType({}),
    ) -> PlatformProcess:
        application = folder / "app"
        application.mkdir(exist_ok=True)
        for name, text in beside.items():
            (application / name).write_text(text)
        (application / "app.py").write_text(textwrap.dedent(source))
        platform = _start(application, root, folder / f"up{len(started)}.log", [target, "--port", "0", *arguments])
        started.append(platform)
        if wait:
            platform.wait_until_up()
        return platform

    try:
        yield start
        for platform in started:
            if platform.process.poll() is None:
                platform.signal(signal.SIGTERM)
                assert platform.wait() == 0, platform.log()
        wait_until(lambda: not processes_of(root), f"no process of {root} is left", 10.0)
    finally:
        for platform in started:
            if platform.process.poll() is None:
                platform.process.kill()
                platform.process.wait()
        for pid in processes_of(root):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder)


def _start(folder: Path, root: Path, log_path: Path, arguments: list[str]) -> PlatformProcess:
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dilu", "up", *arguments],
            cwd=folder,
            env={**os.environ, ENV_RUN_DIR: str(root)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    return PlatformProcess(process, root, log_path)


def run_command(platform: PlatformProcess, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    """`dilu` with these arguments, beside the platform; also when that has ended."""
    return subprocess.run(
        [sys.executable, "-m", "dilu", *arguments],
        cwd=platform.log_path.parent / "app",
        env={**os.environ, ENV_RUN_DIR: str(platform.root)},
        input=stdin.decode(),
        capture_output=True,
        text=True,
        timeout=START_TIMEOUT_S,
        check=False,
    )


def processes_of(root: Path) -> list[int]:
    """Every process, replicas included, that was started for this run directory."""
    mark = f"{ENV_RUN_DIR}={root}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue  # it has ended
    return found


class Clients:
    """Several clients that post one request after the other on kept connections, and count what became of them."""

    def __init__(self, platform: PlatformProcess, path: str, item: Any, count: int) -> None:
        self.outcomes: Counter[int | str] = Counter()
        self._platform = platform
        self._path = path
        self._body = json.dumps(item).encode()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60.0)
        assert not any(thread.is_alive() for thread in self._threads), "a client hangs"

    def wait_for(self, answers: int) -> None:
        """Return when `count` more requests were answered with 200."""
        goal = self.outcomes[200] + answers
        wait_until(lambda: self.outcomes[200] >= goal, f"{answers} more answers; so far {self.outcomes}", 30.0)

    def _run(self) -> None:
        connection: HTTPConnection | None = None
        while not self._stop.is_set():
            connection = connection or HTTPConnection("127.0.0.1", self._platform.port, timeout=30.0)
            try:
                connection.request("POST", self._path, self._body)
                response = connection.getresponse()
                response.read()
                self.outcomes[response.status] += 1
                if response.status != 200:
                    time.sleep(0.01)
            except (OSError, HTTPException) as error:
                self.outcomes[type(error).__name__] += 1
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
