"""Builds Knative's own autoscaler (the Go module in `go/`) and has it answer cases. Needs Go 1.25."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from differential.knative_cases import Case

MODULE = Path(__file__).parent / "go"


def built_peer(folder: Path) -> Path:
    """The program, built into the folder: a minute or two where Go's cache is cold."""
    go = shutil.which("go")
    assert go is not None, "go is missing: install Go 1.25 or newer and put it on PATH"
    program = folder / "knative_peer.test"
    # A workspace or flags of the caller's must not change what is built.
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly -buildvcs=false", "GOAMD64": "v1"}
    command = ["nice", "-n", "10", go, "test", "-c", "-trimpath", "-o", str(program), "."]
    subprocess.run(command, cwd=MODULE, env=environment, check=True)
    return program


def peers_answers(program: Path, folder: Path, cases: Iterable[Case]) -> Sequence[dict[str, Any]]:
    """The peer's answer to each case."""
    asked, answered = folder / "cases.jsonl", folder / "answers.jsonl"
    asked.write_text("".join(json.dumps(case) + "\n" for case in cases), encoding="utf-8")
    subprocess.run(
        [str(program), "-test.run", "^TestAnswerCases$", "-test.timeout", "10m"],
        cwd=folder,
        env={**os.environ, "KNATIVE_CASES": str(asked), "KNATIVE_ANSWERS": str(answered)},
        check=True,
    )
    return [json.loads(line) for line in answered.read_text(encoding="utf-8").splitlines()]
