"""The folder of checkpoints: they are written atomically, checked before use, and only the newest are kept.

    DIR/000007-iteration-120/dilu-checkpoint.json    iteration, and size and SHA-256 of every file
                             ...                     the files of the function's `checkpoint`

A checkpoint is written into a folder `.writing-*`, synced and renamed. The leading number grows with every write, so
that after a fresh start the checkpoints of the new run are newer than those of the run before.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from dilu.errors import ConfigError

_log = logging.getLogger(__name__)

MANIFEST: Final = "dilu-checkpoint.json"
_LOCK: Final = ".lock"
_WRITING: Final = ".writing-"
_REMOVING: Final = ".removing-"
_FORMAT: Final = 1
_NAME = re.compile(r"(\d{6,18})-iteration-\d+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One complete checkpoint on the disk."""

    path: Path
    iteration: int  # the last one that it includes

    def __str__(self) -> str:
        return f"{self.path} (iteration {self.iteration})"


class _File(msgspec.Struct, forbid_unknown_fields=True):
    bytes: int
    sha256: str


class _Manifest(msgspec.Struct):
    format: int
    function: str
    iteration: int
    files: dict[str, _File]


class _IncompleteError(Exception):
    """A checkpoint that cannot be used; the message says why."""


class CheckpointStore:
    """The checkpoints of one function in one folder, for one process at a time."""

    def __init__(self, folder: Path, *, function: str, keep: int) -> None:
        """Create the folder if needed, and lock it. Raise `ConfigError` if that fails or another run holds the lock."""
        self.folder = folder
        self.latest: Checkpoint | None = None  # the newest one known to be complete
        self._function = function
        self._keep = keep
        self._broken: set[str] = set()
        self._lock_fd = _lock(folder)
        self._remove_leftovers()

    @property
    def lock_fd(self) -> int:
        """The file descriptor that holds the lock."""
        return self._lock_fd

    def newest(self) -> Checkpoint | None:
        """Return the newest complete checkpoint, or None; damaged ones are skipped with a warning.

        Raise `ConfigError` if it is another function's.
        """
        for _, path in reversed(self._numbered()):
            try:
                manifest = _checked(path)
            except (_IncompleteError, OSError) as error:
                _log.warning("checkpoint %s is skipped: %s", path, error)
                self._broken.add(path.name)
                continue
            if manifest.function != self._function:
                raise ConfigError(
                    f"{path} is a checkpoint of {manifest.function}, not of {self._function}; "
                    f"choose another --checkpoint-dir"
                )
            self.latest = Checkpoint(path=path, iteration=manifest.iteration)
            return self.latest
        return None

    def write(self, iteration: int, save: Callable[[Path], None]) -> Checkpoint:
        """Let `save` fill an empty folder, make a checkpoint of it, and remove the oldest checkpoints.

        Raise what `save` raises, and `OSError`; in that case no part of the checkpoint is left.
        """
        number = max((number for number, _ in self._numbered()), default=0) + 1
        place = self.folder / f"{number:06d}-iteration-{iteration}"
        beside = self.folder / f"{_WRITING}{place.name}"
        try:
            beside.mkdir()
            save(beside)
            self._seal(beside, iteration)
            beside.rename(place)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
        _sync(self.folder)
        self.latest = Checkpoint(path=place, iteration=iteration)
        self._remove_old()
        return self.latest

    def close(self) -> None:
        """Release the lock of the folder."""
        os.close(self._lock_fd)

    def _numbered(self) -> list[tuple[int, Path]]:
        """Return the folders that are named like checkpoints, oldest first."""
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir() if path.is_dir())
        return sorted((int(match[1]), path) for match, path in matches if match is not None)

    def _seal(self, folder: Path, iteration: int) -> None:
        """Write the manifest, and sync all files and folders to the disk."""
        files = {str(path.relative_to(folder)): path for path in _files(folder)}
        if not files:
            raise FileNotFoundError(f"checkpoint wrote no file into {folder}")
        if MANIFEST in files:
            raise FileExistsError(f"checkpoint wrote a file named {MANIFEST}, which is reserved for Dilu")
        manifest = _Manifest(
            format=_FORMAT,
            function=self._function,
            iteration=iteration,
            files={name: _File(path.stat().st_size, _digest(path)) for name, path in files.items()},
        )
        (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)) + b"\n")
        for path in (*files.values(), folder / MANIFEST):
            _sync(path)
        for inner, _, _ in os.walk(folder, topdown=False):
            _sync(Path(inner))

    def _remove_old(self) -> None:
        """Keep the newest complete ones. Damaged ones do not count, and are removed when older than the kept."""
        kept = 0
        for _, path in reversed(self._numbered()):
            if kept == self._keep:
                self._remove(path)
            elif path.name not in self._broken:
                kept += 1

    def _remove(self, path: Path) -> None:
        """Rename it, then remove it, so that a half-removed one is never taken for a checkpoint."""
        try:
            removed = path.rename(self.folder / f"{_REMOVING}{path.name}")
            shutil.rmtree(removed)
        except OSError as error:
            _log.warning("the old checkpoint %s cannot be removed: %s", path, error)

    def _remove_leftovers(self) -> None:
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith(_WRITING):
                _log.warning("checkpoint %s is skipped: it was half-written by a run that was killed", path)
            if path.name.startswith((_WRITING, _REMOVING)):
                shutil.rmtree(path, ignore_errors=True)


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ConfigError(f"checkpoint-dir = {folder}, cannot be used: {error.strerror}") from error
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            raise ConfigError(f"checkpoint-dir = {folder}, is in use by another run; choose another one") from None
        raise ConfigError(f"checkpoint-dir = {folder}, cannot be locked: {error.strerror}") from error
    return fd


def _checked(path: Path) -> _Manifest:
    """Check that all files of a checkpoint are as they were written, and return its manifest."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=_Manifest)
    except FileNotFoundError:
        raise _IncompleteError(f"it has no {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise _IncompleteError(f"{MANIFEST} cannot be read: {error}") from None
    if manifest.format != _FORMAT:
        raise _IncompleteError(f"its format is {manifest.format}, this version of Dilu reads {_FORMAT}")
    for name, written in manifest.files.items():
        _check_file(path / name, name, written)
    return manifest


def _check_file(path: Path, name: str, written: _File) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise _IncompleteError(f"{name} is missing") from None
    if size != written.bytes:
        raise _IncompleteError(f"{name} has {size} bytes, {written.bytes} were written")
    if _digest(path) != written.sha256:
        raise _IncompleteError(f"{name} was changed, its SHA-256 differs")


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Sync a file or a folder to the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
