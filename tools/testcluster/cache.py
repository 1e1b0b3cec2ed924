"""Builds on disk: whole or not there, and checked before each use."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

from .console import say, step
from .errors import ClusterError

_SUMS: Final = "sums.json"
_CHUNK: Final = 1 << 20

Fill = Callable[[Path], None]


def digest_of(inputs: Sequence[bytes]) -> str:
    """Return a short name for exactly these inputs of a build."""
    whole = hashlib.sha256()
    for one in inputs:
        whole.update(len(one).to_bytes(8))
        whole.update(one)
    return whole.hexdigest()[:12]


def cached(cache: Path, part: str, key: str, fill: Fill) -> Path:
    """Return the directory of this build: from the cache if every file in it is what was built, else built again.

    `fill` writes into an empty directory, which takes its name only when it is whole: a build that was cut off leaves
    nothing that a later one could take for a result.
    """
    entry = cache / part / key
    with _lock(cache / part, part):
        flaw = flaw_of(entry)
        if flaw is None:
            return entry
        if entry.exists():
            say(f"{part} {key} in the cache is not what was built ({flaw}): building it again")
            shutil.rmtree(entry)
        for leftover in entry.parent.glob(".building-*"):  # we hold the lock, so no other build uses it
            shutil.rmtree(leftover)
        draft = Path(tempfile.mkdtemp(prefix=".building-", dir=entry.parent))
        try:
            draft.chmod(0o755)
            with step(f"building {part} {key}"):
                fill(draft)
            sums = _sums(draft)
            (draft / _SUMS).write_text(json.dumps(sums, indent=1, sort_keys=True) + "\n")
            draft.rename(entry)
        except OSError as error:
            raise ClusterError(f"building {part}: {error}") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return entry


def flaw_of(entry: Path) -> str | None:
    """Return what is wrong with a build in the cache, checked file by file; None if it is complete."""
    try:
        want: dict[str, str] = json.loads((entry / _SUMS).read_text())
    except FileNotFoundError:
        return "it has no list of sums"
    except (ValueError, NotADirectoryError):
        return "its list of sums is damaged"
    found = _sums(entry)
    for name in sorted(want.keys() | found.keys()):
        if name not in found:
            return f"{name} is missing"
        if found[name] != want.get(name):
            return f"{name} has changed"
    return None


def _sums(directory: Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path.name != _SUMS)
    with ThreadPoolExecutor(2) as pool:
        sums = pool.map(file_sum, files)
    return {str(path.relative_to(directory)): one for path, one in zip(files, sums, strict=True)}


def file_sum(path: Path) -> str:
    """Return the SHA-256 of a file's content and of whether it can be executed."""
    whole = hashlib.sha256(b"x" if path.stat().st_mode & 0o100 else b"-")
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            whole.update(chunk)
    return whole.hexdigest()


@contextlib.contextmanager
def _lock(directory: Path, part: str) -> Iterator[None]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / ".lock").open("w")
    except OSError as error:
        raise ClusterError(
            f"cache {directory}: {error}. Set XDG_CACHE_HOME to a directory that can be written."
        ) from error
    with file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError:
            with step(f"waiting for another build of {part}"):
                flock(file, LOCK_EX)
        yield
