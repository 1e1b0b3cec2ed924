"""In CI a test is skipped only for a listed reason."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from skip_list import ALLOWED_SKIPS, Mode, is_allowed

TESTS = Path(__file__).resolve().parents[1]
HELM = ("tests/chart/test_chart_modes.py::test_a", "no helm: build it")
OTHER = ("tests/kube/test_informers.py::test_b", "needs luck")
FORTUNE = """
import pytest

@pytest.mark.skip(reason="needs luck")
def test_skipped():
    pass

def test_runs():
    pass
"""


@pytest.mark.parametrize(
    ("skipped", "mode", "allowed"),
    [
        (HELM, "listed", True),
        (OTHER, "listed", False),
        (HELM, "none", False),
        (OTHER, "any", True),
        ((OTHER[0], HELM[1]), "listed", False),
        ((HELM[0], OTHER[1]), "listed", False),
    ],
)
def test_a_skip_is_allowed_by_its_test_and_its_reason(skipped: tuple[str, str], mode: Mode, allowed: bool) -> None:
    assert is_allowed(*skipped, mode) is allowed


def test_each_entry_of_the_list_is_about_a_test_that_is_there() -> None:
    for pattern, reason in ALLOWED_SKIPS:
        files = TESTS.parent.glob(pattern if pattern.endswith(".py*") else f"{pattern}.py")
        phrase = reason.rstrip("*")
        assert [path for path in files if phrase in path.read_text()], f"{pattern}: no test is skipped for {reason!r}"


@pytest.mark.parametrize(
    ("ci", "arguments", "passes"),
    [
        ("true", (), False),
        ("true", ("-p", "xdist", "-n", "1"), False),
        ("", (), True),
        ("", ("--skips=none",), False),
    ],
)
def test_an_unlisted_skip_fails_a_run_in_ci(tmp_path: Path, ci: str, arguments: tuple[str, ...], passes: bool) -> None:
    (tmp_path / "test_fortune.py").write_text(FORTUNE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "skip_list", "-c", "/dev/null", *arguments, str(tmp_path)],
        env={**os.environ, "CI": ci, "PYTHONPATH": str(TESTS), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == (0 if passes else 1), done.stdout + done.stderr
    assert ("needs luck" in done.stdout.partition("does not allow")[2]) is not passes
