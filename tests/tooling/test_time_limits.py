"""tools/within.py: a command that hangs is shown and ended, and no process outlives one that ends."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

WITHIN = Path(__file__).resolve().parents[2] / "tools" / "within.py"
UNUSUAL = "86399.5"  # seconds; no other process of the machine sleeps exactly as long


def within(limit_s: float, *command: str) -> subprocess.CompletedProcess[str]:
    arguments = [sys.executable, str(WITHIN), str(limit_s), *command]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # they take seconds to import
    return subprocess.run(arguments, env=environment, capture_output=True, text=True, timeout=90, check=False)


def sleepers() -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", UNUSUAL]]


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -TERM $$", 128 + 15)])
def test_the_exit_code_is_the_commands(command: str, code: int) -> None:
    done = within(60, "sh", "-c", command)
    assert (done.returncode, done.stderr) == (code, "")


def test_a_test_that_hangs_is_named_and_its_processes_are_ended(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    (tmp_path / "test_hanging.py").write_text(
        textwrap.dedent(
            f"""
            import pathlib, subprocess, threading

            def test_hangs_for_good():
                subprocess.Popen(["sleep", "{UNUSUAL}"], start_new_session=True)
                pathlib.Path({str(ready)!r}).touch()
                threading.Event().wait()
            """
        )
    )
    limit_s = 5.0
    while not ready.exists():  # on a busy machine the limit may be over before the test begins
        pytest_ = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path))
        done = within(limit_s, *pytest_)
        limit_s *= 2
    assert done.returncode == 124
    assert "not finished within" in done.stderr
    assert "in test_hangs_for_good" in done.stderr
    assert sleepers() == []


def test_a_process_that_outlives_the_command_is_named_and_killed_and_fails_the_run() -> None:
    done = within(60, "sh", "-c", f"setsid sleep {UNUSUAL} & exit 0")
    assert done.returncode == 125
    assert f"sleep {UNUSUAL}" in done.stderr
    assert sleepers() == []
