"""The README's installations and its quickstart work in a fresh environment, offline."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def uv() -> str:
    """The uv that made the project's environment (tools/bootstrap.sh)."""
    return shutil.which("uv") or str(ROOT / ".cache" / "uv-home" / "bin" / "uv")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module", params=["checkout", "wheel"])
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment in which Dilu is installed; its dependencies are those of the project's environment."""
    home = tmp_path_factory.mktemp(request.param) / "venv"
    run(uv(), "venv", "--quiet", "--offline", "--python", sys.executable, home)
    packages = home / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    # A path that a .pth file adds is searched last, and its own .pth files (the editable Dilu) are not read.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    offline = ("--quiet", "--offline", "--no-deps", "--no-build-isolation", "--python", home / "bin" / "python")
    run(uv(), "pip", "install", *offline, ROOT if request.param == "checkout" else wheel)
    return home / "bin" / "python"


def test_the_command_line_explains_itself(python: Path, tmp_path: Path) -> None:
    assert "dilu up app.py" in run(python.with_name("dilu"), "--help", cwd=tmp_path)


@pytest.fixture
def quickstart(python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of the README's `app.py`, while `dilu up app.py` serves it on a free port."""
    code = re.search(r"Write `app.py`:\n\n```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    (tmp_path / "app.py").write_text(code[1])
    command = [str(python.with_name("dilu")), "up", "app.py", "--port", "0", "--name", "quickstart"]
    with tempfile.TemporaryDirectory() as run_dir, (tmp_path / "up.log").open("w") as log:  # a socket's path is short
        monkeypatch.setenv("DILU_RUN_DIR", run_dir)
        process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, env=os.environ)
        try:
            yield tmp_path
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0, (tmp_path / "up.log").read_text()


def test_the_quickstart_answers_as_the_readme_shows(quickstart: Path, python: Path) -> None:
    dilu = python.with_name("dilu")
    url = gateway(dilu, quickstart)
    shown = re.findall(r"^\$ (curl|dilu invoke score) (?:localhost:8080 -d|--data) '(.*)'\n(.*)$", README, re.MULTILINE)
    assert len(shown) == 3
    for command, item, answer in shown:
        if command == "curl":
            got = run("curl", "--silent", url, "-d", item, cwd=quickstart)
        else:
            got = run(dilu, "invoke", "score", "--data", item, cwd=quickstart)
        assert re.sub(r'"request_id":"[^"]*"', '"request_id":"..."', got.strip()) == answer


def gateway(dilu: Path, folder: Path) -> str:
    deadline_s = time.monotonic() + 30
    while True:
        listed = subprocess.run([str(dilu), "ps", "--json"], cwd=folder, capture_output=True, text=True)
        if listed.returncode == 0:
            url: str = json.loads(listed.stdout)["functions"][0]["url"]
            return url
        assert time.monotonic() < deadline_s, listed.stderr
        time.sleep(0.1)
