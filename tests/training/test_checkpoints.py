"""The folder of checkpoints: whole or not there, checked, the newest ones kept."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dilu.errors import ConfigError
from dilu.trainer.checkpoints import MANIFEST, CheckpointStore
from dilu.trainer.plan import CheckpointEvery, checkpoint_every


@contextmanager
def opened(folder: Path, *, function: str = "f", keep: int = 3) -> Iterator[CheckpointStore]:
    store = CheckpointStore(folder, function=function, keep=keep)
    try:
        yield store
    finally:
        store.close()


def saving(text: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        (path / "weights").mkdir()
        (path / "weights" / "a.bin").write_text(text)
        (path / "state.json").write_text("{}")

    return save


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".lock"))


def filled(folder: Path, *iterations: int) -> None:
    with opened(folder) as store:
        for iteration in iterations:
            store.write(iteration, saving(f"at {iteration}"))


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    filled(tmp_path / "new" / "folder", 10, 20)
    with opened(tmp_path / "new" / "folder") as store:
        found = store.newest()
        assert found is not None
        assert found.iteration == 20
        assert (found.path / "weights" / "a.bin").read_text() == "at 20"
        assert store.latest == found


def test_all_of_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(fd: int) -> None:
        synced.append(Path(f"/proc/self/fd/{fd}").readlink())
        fsync(fd)

    monkeypatch.setattr(os, "fsync", noted)
    filled(tmp_path, 7)
    writing = tmp_path / ".writing-000001-iteration-7"
    *before, last = synced
    assert set(before) == {
        *(writing / name for name in ("weights/a.bin", "state.json", MANIFEST)),
        *(writing / "weights", writing),
    }
    assert before[-1] == writing, "a folder after what is in it"
    assert last == tmp_path, "the name itself"


def test_an_empty_folder_holds_none(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        assert store.newest() is None


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    filled(tmp_path, 1, 2, 3, 4, 5)
    assert kept(tmp_path) == ["000003-iteration-3", "000004-iteration-4", "000005-iteration-5"]


def test_a_fresh_start_is_newer_than_what_was_before(tmp_path: Path) -> None:
    filled(tmp_path, 100, 200)
    filled(tmp_path, 10)
    with opened(tmp_path) as store:
        found = store.newest()
    assert found is not None
    assert found.iteration == 10


def truncated(path: Path) -> None:
    (path / "weights" / "a.bin").write_text("a")


def flipped(path: Path) -> None:
    file = path / "weights" / "a.bin"
    data = bytearray(file.read_bytes())
    data[0] ^= 1
    file.write_bytes(data)


def without_a_file(path: Path) -> None:
    (path / "state.json").unlink()


def without_a_manifest(path: Path) -> None:
    (path / MANIFEST).unlink()


def with_half_a_manifest(path: Path) -> None:
    text = (path / MANIFEST).read_text()
    (path / MANIFEST).write_text(text[: len(text) // 2])


def of_another_format(path: Path) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps({**manifest, "format": 2}))


def of_a_folder_for_a_file(path: Path) -> None:
    (path / "state.json").unlink()
    (path / "state.json").mkdir()


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, "weights/a.bin has 1 bytes, 5 were written"),
        (flipped, "weights/a.bin was changed, its SHA-256 differs"),
        (without_a_file, "state.json is missing"),
        (without_a_manifest, f"it has no {MANIFEST}"),
        (with_half_a_manifest, f"{MANIFEST} cannot be read"),
        (of_another_format, "its format is 2, this version of Dilu reads 1"),
        (of_a_folder_for_a_file, "state.json has"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_broken_one_is_passed_over_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], None], reason: str
) -> None:
    filled(tmp_path, 10, 20)
    spoil(tmp_path / "000002-iteration-20")
    with opened(tmp_path) as store, caplog.at_level(logging.WARNING):
        found = store.newest()
    assert found is not None
    assert found.iteration == 10
    assert "000002-iteration-20 is skipped" in caplog.text
    assert reason in caplog.text


def test_broken_ones_do_not_push_out_whole_ones(tmp_path: Path) -> None:
    filled(tmp_path, 10, 20, 30)
    for name in ("000002-iteration-20", "000003-iteration-30"):
        truncated(tmp_path / name)
    with opened(tmp_path, keep=2) as store:
        store.newest()
        store.write(11, saving("at 11"))
        assert "000001-iteration-10" in kept(tmp_path)
        store.write(12, saving("at 12"))
        assert kept(tmp_path) == ["000004-iteration-11", "000005-iteration-12"]


def test_all_broken_is_as_none_and_removes_nothing_yet(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    flipped(tmp_path / "000001-iteration-10")
    with opened(tmp_path) as store:
        assert store.newest() is None
    assert kept(tmp_path) == ["000001-iteration-10"]


def test_left_overs_of_a_killed_run_are_removed_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    filled(tmp_path, 10)
    for name in (".writing-000002-iteration-20", ".removing-000000-iteration-5"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("x")
    with opened(tmp_path) as store, caplog.at_level(logging.WARNING):
        assert store.newest() is not None
    assert kept(tmp_path) == ["000001-iteration-10"]
    assert "half-written by a run that was killed" in caplog.text


class FullError(Exception):
    """What a full disk is to a test."""


def test_a_checkpoint_that_fails_leaves_the_ones_before(tmp_path: Path) -> None:
    def fail(path: Path) -> None:
        (path / "half").write_text("x")
        raise FullError

    filled(tmp_path, 10)
    with opened(tmp_path) as store, pytest.raises(FullError):
        store.write(20, fail)
    assert kept(tmp_path) == ["000001-iteration-10"]


@pytest.mark.parametrize(
    ("save", "message"),
    [
        (lambda path: None, "checkpoint wrote no file into"),
        (lambda path: (path / MANIFEST).write_text("{}"), "which is reserved for Dilu"),
    ],
)
def test_a_checkpoint_that_cannot_be_one_is_refused(tmp_path: Path, save: Callable[[Path], None], message: str) -> None:
    with opened(tmp_path) as store, pytest.raises(OSError, match=message):
        store.write(1, save)
    assert kept(tmp_path) == []


def test_another_functions_folder_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    with opened(tmp_path, function="g") as store, pytest.raises(ConfigError, match="is a checkpoint of f, not of g"):
        store.newest()


def test_one_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(ConfigError, match="in use by another run"), opened(tmp_path):
        pass
    with opened(tmp_path):
        pass


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"checkpoint-dir = .*file, cannot be used"), opened(tmp_path / "file"):
        pass


def test_what_else_lies_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "000009-iteration-9").touch()  # a file
    filled(tmp_path, 1, 2, 3, 4)
    assert {"notes", "000009-iteration-9"} <= set(kept(tmp_path))


@pytest.mark.parametrize(
    ("text", "every"),
    [
        ("500", CheckpointEvery(iterations=500)),
        (" 1 ", CheckpointEvery(iterations=1)),
        ("30s", CheckpointEvery(seconds=30)),
        ("1.5m", CheckpointEvery(seconds=90)),
        ("2h", CheckpointEvery(seconds=7200)),
        ("0", CheckpointEvery()),
        ("0s", CheckpointEvery()),
    ],
)
def test_how_often_is_read_as_people_write_it(text: str, every: CheckpointEvery) -> None:
    assert checkpoint_every(text) == every


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", "10d", "1 h", "inf", "1e3", "٣"])
def test_how_often_is_refused_when_it_is_neither(text: str) -> None:
    with pytest.raises(ConfigError, match="checkpoint-every = "):
        checkpoint_every(text)


def test_a_checkpoint_is_due_by_count_or_by_time_or_never() -> None:
    by_count, by_time, never = CheckpointEvery(iterations=5), CheckpointEvery(seconds=10), CheckpointEvery()
    assert [by_count.is_due(iterations=n, seconds=1e9) for n in (4, 5)] == [False, True]
    assert [by_time.is_due(iterations=10**9, seconds=s) for s in (9.9, 10.0)] == [False, True]
    assert not never.is_due(iterations=10**9, seconds=1e9)
