"""Runs `dilu policy replay` on files that a test writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from dilu_autoscaler.replay.cli import policy

Lines = list[dict[str, Any]]


def run_replay(folder: Path, *, spec: str | None, observations: str, arguments: tuple[str, ...] = ()) -> Result:
    """What the command did, with the spec and the observations in files of that folder."""
    command = ["replay", "--observations", str(folder / "obs.jsonl"), *arguments]
    (folder / "obs.jsonl").write_text(observations, encoding="utf-8")
    if spec is not None:
        (folder / "spec.yaml").write_text(spec, encoding="utf-8")
        command += ["--spec", str(folder / "spec.yaml")]
    return CliRunner().invoke(policy, command)


def decisions(folder: Path, lines: Lines, spec: dict[str, Any], *arguments: str) -> Lines:
    """The decisions on these lines."""
    observations = "".join(json.dumps(line) + "\n" for line in lines)
    text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in spec.items())
    result = run_replay(folder, spec=text, observations=observations, arguments=arguments)
    if result.exception is not None:
        raise result.exception
    return [json.loads(line) for line in result.stdout.splitlines()]
