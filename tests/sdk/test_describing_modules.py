"""`dilu describe`: JSON alone on standard output, whatever the module does; one line when it cannot be loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HANDLER = """
import dilu

@dilu.function(batch=4)
def f(xs: list[int]) -> list[int]:
    return xs
"""
NOISY = (
    """
import atexit, ctypes, os, sys

print("from python")
os.write(1, b"from the descriptor\\n")
ctypes.CDLL(None).puts(b"from C")
os.system("echo from a child")
atexit.register(print, "from the end")
"""
    + HANDLER
)


def describe(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dilu", "describe", target], cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_what_the_module_prints_goes_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(NOISY)
    done = describe("app.py", tmp_path)
    assert done.returncode == 0
    assert [one["target"] for one in json.loads(done.stdout)] == [f"{tmp_path}/app.py:f"]
    for source in ("python", "the descriptor", "C", "a child", "the end"):
        assert f"from {source}\n" in done.stderr


def test_the_target_of_a_link_can_be_loaded_again(tmp_path: Path) -> None:
    (tmp_path / "blob").write_text(HANDLER)
    (tmp_path / "app.py").symlink_to("blob")
    (described,) = json.loads(describe("app.py", tmp_path).stdout)
    assert described["target"] == f"{tmp_path}/app.py:f"
    assert described["spec"]["batch"] == 4
    assert describe(described["target"], Path("/")).returncode == 0


@pytest.mark.parametrize(
    ("source", "target", "line"),
    [
        ("import sys; sys.exit(0)", "app.py", "dilu: {folder}/app.py:1: SystemExit: 0"),
        ("next(iter([]))", "app.py:f", "dilu: {folder}/app.py:1: StopIteration"),
        ("", ".", "dilu: '.': is a folder; name the file in it, FILE.py or FILE.py:NAME"),
    ],
)
def test_what_cannot_be_loaded_is_one_line_and_exit_code_2(tmp_path: Path, source: str, target: str, line: str) -> None:
    (tmp_path / "app.py").write_text(source)
    done = describe(target, tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == line.format(folder=tmp_path) + "\n"
