"""The private folder, names that are held by one process, and who holds them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dilu.errors import ConfigError
from dilu.spec.names import ENV_RUN_DIR
from dilu_autoscaler.local.rundir import claim, run_directory, running


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
