"""The example that the README leads with, with its real weights."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from replica_process import ReplicaProcess

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "embeddings" / "app.py"


@pytest.fixture(scope="module")
def embed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReplicaProcess]:
    ours, theirs = socket.socketpair()
    log_path = tmp_path_factory.mktemp("embed") / "embed.log"
    environment = {"PORT": "0", "DILU_STATS_PORT": "0", "DILU_CONTROL_FD": str(theirs.fileno()), "HF_HUB_OFFLINE": "1"}
    with theirs, log_path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "dilu", "serve", str(EXAMPLE)],
            env={**os.environ, **environment},
            pass_fds=[theirs.fileno()],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    replica = ReplicaProcess(process, ours, log_path)
    try:
        replica.wait_until_ready()
        yield replica
    finally:
        replica.close()


def vector(replica: ReplicaProcess, text: str) -> list[float]:
    answer = replica.post(text)
    assert answer.status == 200
    numbers: list[float] = answer.json()
    return numbers


def cosine(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


@pytest.mark.slow
def test_like_meanings_are_closer_than_unlike_ones(embed: ReplicaProcess) -> None:
    cat, kitten, shares = (
        vector(embed, text) for text in ("The cat sleeps on the sofa.", "A kitten naps.", "Share prices dropped.")
    )
    assert len(cat) == 384
    assert cosine(cat, cat) == pytest.approx(1.0, abs=1e-5)
    assert cosine(cat, kitten) > cosine(cat, shares) + 0.2


@pytest.mark.slow
def test_its_cold_start_is_reported_by_phase(embed: ReplicaProcess) -> None:
    phases = next(event for event in embed.events if event["event"] == "ready")["cold_start_s"]
    assert list(phases) == ["process", "import", "load", "warmup"]
    assert phases["load"] > phases["import"], "torch is imported by load, so that describing the module is cheap"


@pytest.mark.slow
def test_describing_it_imports_no_torch() -> None:
    described = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dilu", "describe", str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(described.stdout)[0]["spec"]["name"] == "embed"
    assert " torch" not in described.stderr
