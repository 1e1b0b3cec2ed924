"""The private folder, names that are held by one process, and who holds them."""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dilu.errors import ConfigError
from dilu.spec.names import ENV_RUN_DIR
from dilu_autoscaler.local.run_directory import claim, run_directory, running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return run_directory({ENV_RUN_DIR: str(tmp_path / "run")})


def test_the_folder_is_made_for_its_user_alone(root: Path) -> None:
    assert root.stat().st_mode & 0o777 == 0o700


def test_the_folder_is_under_the_users_runtime_folder(tmp_path: Path) -> None:
    assert run_directory({"XDG_RUNTIME_DIR": str(tmp_path)}) == tmp_path / "dilu"


def test_a_folder_that_others_can_use_is_refused(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    with pytest.raises(ConfigError, match=r"mode 755; must be a folder that only you can use"):
        run_directory({ENV_RUN_DIR: str(shared)})


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="must be a folder"):
        run_directory({ENV_RUN_DIR: str(tmp_path / "link")})


def test_a_name_is_held_by_one_and_says_by_whom(root: Path) -> None:
    held = claim(root, "shop")
    with pytest.raises(ConfigError, match=r"shop is up already \(it is starting or stopping\)"):
        claim(root, "shop")
    held.announce("http://127.0.0.1:8080")
    with pytest.raises(ConfigError, match=rf"shop is up already \(pid {os.getpid()}, http://127.0.0.1:8080\); stop it"):
        claim(root, "shop")
    (one,) = running(root)
    assert (one.name, one.pid, one.url) == ("shop", os.getpid(), "http://127.0.0.1:8080")
    held.release()
    assert running(root) == []
    claim(root, "shop").release()


def test_logs_stay_until_the_name_is_claimed_again(root: Path) -> None:
    held = claim(root, "shop")
    log = held.logs / "embed-1.log"
    log.write_text("why it failed")
    held.release()
    assert log.exists()
    claim(root, "shop").release()
    assert not log.exists()


def test_a_path_too_long_for_a_socket_is_said_at_once(tmp_path: Path) -> None:
    root = run_directory({ENV_RUN_DIR: str(tmp_path / ("x" * 90))})
    with pytest.raises(ConfigError, match=f"too long a path for a socket; set {ENV_RUN_DIR}"):
        claim(root, "shop")


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("")


@pytest.mark.parametrize(
    ("spoil", "at"),
    [
        (lambda shop: _write(shop), "shop"),
        (lambda shop: (shop / "lock").mkdir(parents=True), "shop/lock"),
        (lambda shop: _write(shop / "logs"), "shop/logs"),
        (lambda shop: (shop / "admin.sock").mkdir(parents=True), "shop/admin.sock"),
    ],
    ids=["the name is a file", "the lock is a folder", "the logs are a file", "the socket is a folder"],
)
def test_what_is_in_the_way_is_said_in_one_line(root: Path, spoil: Callable[[Path], None], at: str) -> None:
    spoil(root / "shop")
    with pytest.raises(ConfigError, match=rf"^{root / at}: [A-Z][a-z ]+; fix that, or set {ENV_RUN_DIR}") as refused:
        claim(root, "shop")
    assert "\n" not in str(refused.value)
    assert running(root) == []
    other = claim(root, "other")
    other.announce("http://127.0.0.1:1")
    assert [one.name for one in running(root)] == ["other"]
    other.release()


def test_a_full_disk_is_said_in_one_line(root: Path) -> None:
    (root / "shop").mkdir()
    (root / "shop" / "lock").symlink_to("/dev/full")
    try:
        with pytest.raises(ConfigError, match=r"Invalid argument|No space left on device"):
            claim(root, "shop").announce("http://127.0.0.1:1")
    finally:
        assert running(root) == []


def test_who_only_looks_does_not_hold_the_name(root: Path) -> None:
    claim(root, "shop").release()
    with (root / "shop" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # as `dilu ps` does
        looked = threading.Timer(0.1, fcntl.flock, (lock, fcntl.LOCK_UN))
        looked.start()
        claim(root, "shop").release()
        looked.join()
