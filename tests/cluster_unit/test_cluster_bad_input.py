"""Bad input to `python -m tools.testcluster`: one clear error that says what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from testcluster.errors import ClusterError
from testcluster.gobuild import build_programs
from testcluster.machine import install_packages, require_room, require_root
from testcluster.parts import KN
from testcluster.places import ROOT, Places
from testcluster.record import ProcessId, Record, write_record


@pytest.fixture
def home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="dilu-") as short:  # tmp_path is too long for a socket in it
        yield Path(short)


def tool(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.testcluster", *arguments]
    settings = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["up", "--knative", "1.99"], "Knative '1.99' is not built here: choose 1.23 or 1.21"),
        (["build", "--knative", ""], "Knative '' is not built here"),
        (["--name", "No", "up"], "cluster name 'No': want a letter"),
        (["kubectl", "get", "pods"], "no cluster dilu-test runs: start it with"),
        (["load-image", "x.tar"], "no cluster dilu-test runs"),
        (["logs", "kubelet"], "no log of 'kubelet' in cluster dilu-test: there are none"),
        (["nodes", "add"], "no cluster dilu-test runs"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(arguments: list[str], message: str, home: Path) -> None:
    done = tool(*arguments, XDG_STATE_HOME=str(home), XDG_CACHE_HOME=str(home))
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_of_no_cluster_says_so(home: Path) -> None:
    done = tool("status", XDG_STATE_HOME=str(home))
    assert re.search(r"cluster +not there", done.stdout)
    assert done.returncode == 1


def test_a_cluster_that_has_ended_is_not_talked_to(home: Path) -> None:
    directory = home / "dilu-test-clusters/dilu-test"
    directory.mkdir(parents=True)
    ended = ProcessId(pid=os.getpid(), started=1)  # another process has the number now
    write_record(Places(name="dilu-test", directory=directory), Record(name="dilu-test", knative="1.23", init=ended))
    done = tool("kubectl", "get", "nodes", XDG_STATE_HOME=str(home))
    assert "is not running any more: `down` removes what is left" in done.stderr
    assert done.returncode == 1
    assert "ended" in tool("status", XDG_STATE_HOME=str(home)).stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to get as far as the directory")
def test_a_directory_that_is_nobodys_is_not_touched(home: Path) -> None:
    precious = home / "dilu-test-clusters/dilu-test/precious"
    precious.mkdir(parents=True)
    for command in ("up", "down"):
        done = tool(command, XDG_STATE_HOME=str(home))
        assert "no record of a cluster" in done.stderr
        assert done.returncode == 1
    assert precious.exists()


def test_users_other_than_root_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match="needs root"):
        require_root()


def test_missing_packages_are_named_to_who_cannot_install_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("testcluster.machine._SEARCH", "/nowhere")
    with pytest.raises(ClusterError, match=r"apt-get install .*containerd .*etcd-server .*util-linux"):
        install_packages()


def test_a_full_disk_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=rf"{tmp_path}: .* GiB free, a test needs 1000000\. Make room"):
        require_room(tmp_path / "not/there/yet", gib=1_000_000, purpose="a test")


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go")
def test_a_module_proxy_that_is_not_reached_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOPROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))
    with pytest.raises(ClusterError, match="The Go module proxy was not reached"):
        build_programs(KN, tmp_path)


def test_a_missing_go_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="go is missing: install Go"):
        build_programs(KN, tmp_path)
