"""The overload example: who is urgent is answered, who cannot be in time is told at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from replica_process import ServeFunction

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "priorities_and_deadlines"


def test_urgent_requests_are_all_answered_and_who_is_not_is_told_why(serve_function: ServeFunction) -> None:
    replica = serve_function((FOLDER / "app.py").read_text())
    done = subprocess.run(
        [sys.executable, str(FOLDER / "burst.py"), f"http://127.0.0.1:{replica.port}"],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    rows = {line[:11].strip(): line[11:].split() for line in done.stdout.splitlines()[1:]}
    assert rows["urgent"][:2] == ["8", "8"], done.stdout
    answered = sum(int(row[1]) for row in rows.values())
    assert 8 <= answered < 40, f"some of 40 have to make room or are told that it is too late:\n{done.stdout}"
    assert "deadline" in done.stdout or "displaced" in done.stdout
