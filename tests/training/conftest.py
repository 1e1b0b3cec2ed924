"""Training runs as child processes, for the tests of this area."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from replica_process import ReplicaProcess

RunTraining = Callable[..., ReplicaProcess]


@pytest.fixture
def run_training(tmp_path: Path) -> Iterator[RunTraining]:
    """`run_training(source, *arguments, **environment)`: `dilu run` in `tmp_path`, in a session of its own."""
    started: list[ReplicaProcess] = []

    def start(source: str, *arguments: str, **environment: str) -> ReplicaProcess:
        (tmp_path / "train.py").write_text(textwrap.dedent(source))
        ours, theirs = socket.socketpair()
        log_path = tmp_path / f"run-{len(started)}.log"
        own = {"DILU_STATS_PORT": "0", "DILU_CONTROL_FD": str(theirs.fileno())}
        with theirs, log_path.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dilu", "run", "train.py", *arguments],
                cwd=tmp_path,
                env={**os.environ, **own, **environment},
                pass_fds=[theirs.fileno()],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        run = ReplicaProcess(process, ours, log_path)
        started.append(run)
        return run

    yield start
    for run in started:
        run.close()
