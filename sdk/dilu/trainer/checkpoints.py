"""The folder of checkpoints: each is whole or not there, is checked before it is used, and the newest ones are kept.

    DIR/000007-iteration-120/dilu-checkpoint.json    iteration, and size and SHA-256 of every file
                             ...                     what the function's `checkpoint` wrote

A checkpoint is written into `.writing-*` beside its place, synced and renamed. The number in front grows with every
write, so that after a fresh start the new run's checkpoints are newer than those of the run before.
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
    """One whole checkpoint on the disk."""

    path: Path
    iteration: int  # the last one that is in it

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


class _NotWholeError(Exception):
    """A checkpoint that cannot be used; the text says why."""


class CheckpointStore:
    """The checkpoints of one function in one folder, for one process at a time."""

    def __init__(self, folder: Path, *, function: str, keep: int) -> None:
        """Lock the folder, made if need be. Raises `ConfigError` if it cannot be used or another run holds it."""
        self.folder = folder
        self.latest: Checkpoint | None = None  # the newest one known to be whole
        self._function = function
        self._keep = keep
        self._broken: set[str] = set()
        self._lock_fd = _lock(folder)
        self._clear_left_overs()

    @property
    def lock_fd(self) -> int:
        """The file descriptor that holds the lock."""
        return self._lock_fd

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint; broken ones are passed over with a warning. None: there is none.

        Raises `ConfigError` if it is another function's.
        """
        for _, path in reversed(self._numbered()):
            try:
                manifest = _checked(path)
            except (_NotWholeError, OSError) as error:
                _log.warning("checkpoint %s is passed over: %s", path, error)
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
        """Let `save` fill an empty folder, and make a checkpoint of it; then remove what is too old.

        Raises what `save` raises, and `OSError`; then nothing is left of it.
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
        """Let another run have the folder."""
        os.close(self._lock_fd)

    def _numbered(self) -> list[tuple[int, Path]]:
        """Folders named like checkpoints, oldest first."""
        matches = ((_NAME.fullmatch(path.name), path) for path in self.folder.iterdir() if path.is_dir())
        return sorted((int(match[1]), path) for match, path in matches if match is not None)

    def _seal(self, folder: Path, iteration: int) -> None:
        """Write the manifest, and let all of it reach the disk."""
        files = {str(path.relative_to(folder)): path for path in _files(folder)}
        if not files:
            raise FileNotFoundError(f"it wrote no file into {folder}")
        if MANIFEST in files:
            raise FileExistsError(f"it wrote a file named {MANIFEST}, which is Dilu's own")
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
        """Keep the newest whole ones; broken ones do not count, and go when they are older than all that is kept."""
        kept = 0
        for _, path in reversed(self._numbered()):
            if kept == self._keep:
                self._remove(path)
            elif path.name not in self._broken:
                kept += 1

    def _remove(self, path: Path) -> None:
        """Renamed first, so that a half-removed one is never taken for a checkpoint."""
        try:
            removed = path.rename(self.folder / f"{_REMOVING}{path.name}")
            shutil.rmtree(removed)
        except OSError as error:
            _log.warning("the old checkpoint %s cannot be removed: %s", path, error)

    def _clear_left_overs(self) -> None:
        for path in sorted(self.folder.iterdir()):
            if path.name.startswith(_WRITING):
                _log.warning("checkpoint %s is passed over: half-written by a run that was killed", path)
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
            raise ConfigError(f"checkpoint-dir = {folder}, another run uses it; choose another one") from None
        raise ConfigError(f"checkpoint-dir = {folder}, cannot be locked: {error.strerror}") from error
    return fd


def _checked(path: Path) -> _Manifest:
    """The manifest of a checkpoint whose files are all as they were written."""
    try:
        manifest = msgspec.json.decode((path / MANIFEST).read_bytes(), type=_Manifest)
    except FileNotFoundError:
        raise _NotWholeError(f"it has no {MANIFEST}") from None
    except msgspec.DecodeError as error:
        raise _NotWholeError(f"{MANIFEST} cannot be read: {error}") from None
    if manifest.format != _FORMAT:
        raise _NotWholeError(f"its format is {manifest.format}, this version of Dilu reads {_FORMAT}")
    for name, written in manifest.files.items():
        _check_file(path / name, name, written)
    return manifest


def _check_file(path: Path, name: str, written: _File) -> None:
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise _NotWholeError(f"{name} is missing") from None
    if size != written.bytes:
        raise _NotWholeError(f"{name} has {size} bytes, {written.bytes} were written")
    if _digest(path) != written.sha256:
        raise _NotWholeError(f"{name} is not what was written, its SHA-256 differs")


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(root) / name for name in sorted(names))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Let a file or a folder reach the disk."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
