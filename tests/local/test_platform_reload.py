"""`--reload`: a change that loads replaces replicas without a lost request; one that does not, changes nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from watchfiles import Change

from dilu_autoscaler.local.reload import SourceFiles
from local.platform_process import Clients, PlatformProcess, StartPlatform, processes_of
from replica_process import wait_until

VERSION = """
    import dilu

    @dilu.function(batch=4)
    class Version:
        def predict(self, items: list[float]):
            return [1] * len(items)
"""


def _edit(platform: PlatformProcess, old: str, new: str) -> None:
    source = platform.log_path.parent / "app" / "app.py"
    source.write_text(source.read_text().replace(old, new))


def test_a_change_is_served_and_a_broken_one_is_not(start_platform: StartPlatform) -> None:
    platform = start_platform(VERSION, "--reload", "--min", "2")
    platform.wait_for_ready("version", 2)
    with Clients(platform, "/version", 0, count=4) as clients:
        clients.wait_for(20)
        _edit(platform, "[1]", "[2]")
        wait_until(lambda: platform.post("/version", 0).json() == 2, "the new code answers", 20.0)
        replicas = platform.wait_for_ready("version", 2)
        assert {replica["id"] for replica in replicas} == {"version-3", "version-4"}
        _edit(platform, "import dilu", "import dilu, nowhere")
        wait_until(lambda: "does not load; the running replicas stay" in platform.log(), "the error is said", 20.0)
        assert "No module named 'nowhere'" in platform.log()
        clients.wait_for(20)
    assert set(clients.outcomes) == {200}, clients.outcomes
    assert {replica["id"] for replica in platform.function("version")["replicas"]} == {"version-3", "version-4"}


def test_a_change_of_the_same_size_and_second_is_served(
    start_platform: StartPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    platform = start_platform(VERSION, "--reload", "--min", "1")
    platform.wait_for_ready("version", 1)
    source = platform.log_path.parent / "app" / "app.py"
    assert list(source.parent.glob("__pycache__/app.*.pyc"))
    before, new = source.stat(), source.with_name("new.txt")
    new.write_text(source.read_text().replace("[1]", "[2]"))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(source)
    wait_until(lambda: platform.post("/version", 0).json() == 2, "the new code answers", 20.0)


def test_a_change_while_the_code_loads_is_served_too(start_platform: StartPlatform) -> None:
    slow = VERSION.replace("import dilu\n", "import time, dilu\n    time.sleep(0.5)\n", 1)
    platform = start_platform(slow, "--reload", "--min", "1", wait=False)
    wait_until(lambda: len(processes_of(platform.root)) == 2, "its child loads the code")
    _edit(platform, "[1]", "[2]")
    wait_until(lambda: platform.log_path.exists() and "replaced one by one" in platform.log(), "it is noticed", 20.0)


def test_code_that_loads_but_does_not_start_leaves_the_old_replicas(start_platform: StartPlatform) -> None:
    platform = start_platform(VERSION, "--reload", "--min", "1")
    platform.wait_for_ready("version", 1)
    _edit(platform, "def predict", "def load(self): raise ValueError('no weights')\n    def predict")
    wait_until(lambda: "did not start" in platform.log(), "the failure is said", 20.0)
    assert platform.post("/version", 0).json() == 1
    assert [replica["id"] for replica in platform.function("version")["replicas"]] == ["version-1"]


def test_only_the_applications_own_files_are_watched(tmp_path: Path) -> None:
    files = SourceFiles(tmp_path, tmp_path / "shop.yaml")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").touch()
    watched = ["app.py", "parts/one.py", "shop.yaml"]
    others = ["other.yaml", "state.json", "x.pyc", ".git/x.py", ".cache/a/x.py", "env/lib/x.py", "__pycache__/x.py"]
    others += [".#app.py", ".app.py.swp", "parts/shop.yaml"]
    for path in (*watched, *others):
        assert files(Change.modified, str(tmp_path / path)) == (path in watched), path


def test_a_change_of_nothing_is_none(tmp_path: Path) -> None:
    source = tmp_path / "app.py"
    source.write_text("x = 1")
    files = SourceFiles(tmp_path, None)
    assert files.read_all() == [str(source)]
    os.utime(source)
    assert files.changed([str(source)]) == []
    assert files.read_all() == []
    source.write_text("x = 2")
    assert files.changed([str(source)]) == [str(source)]
    source.unlink()
    assert files.changed([str(source)]) == [str(source)]
    assert files.changed([str(source)]) == []


def test_a_function_that_writes_files_settles_and_a_broken_file_keeps_what_runs(
    start_platform: StartPlatform,
) -> None:
    writing = VERSION + (
        "        def load(self):\n"
        "            open('state.json', 'w').write(str(__import__('time').time()))\n"
        "            open('made.py', 'w').write('x = 1')\n"
    )
    yaml = "functions: [{target: app.py, min_scale: 1}]\n"
    platform = start_platform(writing, "--reload", target="app.yaml", beside={"app.yaml": yaml})
    platform.wait_for_ready("version", 1)
    folder = platform.log_path.parent / "app"
    (folder / "app.yaml").write_text("name: other\ngateway: {port: 5555}\n" + yaml)
    # Changes that come together are one: app.yaml may be named beside made.py. The port was typed, so it stays.
    said = "changed name: takes effect when `dilu up` is stopped and started"
    wait_until(lambda: said in platform.log(), "it is said", 20.0)
    wait_until(lambda: "replicas are replaced one by one" in platform.log(), "the rest is done", 20.0)
    (folder / "app.yaml").write_text("functions: [{target: app.py, bogus: 1}]\n")
    wait_until(lambda: "does not load" in platform.log(), "an error is said", 20.0)
    assert platform.post("/version", 0).json() == 1
    # The made file was new once; state.json is never looked at.
    assert platform.log().count("replaced one by one") <= 2, platform.log()
