"""The example learns, with its real weights and text, and resumes where it stopped."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "training" / "train.py"


def trained(folder: Path, *arguments: str) -> tuple[int, float, float]:
    """(iteration, loss, accuracy) at the end of one run."""
    done = subprocess.run(
        [sys.executable, "-m", "dilu", "run", str(EXAMPLE), "--stats-port", "0", "--log-format", "json", *arguments],
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stderr.splitlines()[-1])["message"]
    match = re.search(r"iteration (\d+),.* loss ([\d.e-]+), accuracy ([\d.]+)", last)
    assert match is not None, last
    return int(match[1]), float(match[2]), float(match[3])


@pytest.mark.slow
def test_it_learns_and_a_stop_changes_nothing(tmp_path: Path) -> None:
    begin = trained(tmp_path, "--steps", "1")
    stopped = trained(tmp_path, "--steps", "10")
    whole = trained(tmp_path / "..", "--steps", "10", "--checkpoint-dir", str(tmp_path / "whole"))
    assert (begin[0], stopped[0], whole[0]) == (1, 10, 10)
    assert begin[2] < 0.6, "the topics are not known before"
    assert stopped[2] > 0.7
    assert stopped[1] == pytest.approx(whole[1], rel=0.01), "resumed is as if it had not stopped"
