"""The private folder in which a running `dilu up` keeps its lock, its admin socket and its replicas' logs."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dilu.errors import ConfigError
from dilu.spec.names import ENV_RUN_DIR

_LOCK = "lock"
_SOCKET = "admin.sock"
_MAX_SOCKET_PATH = 100  # the kernel takes 107 bytes
_LOCK_WAIT_S = 0.3


def run_directory(environ: Mapping[str, str]) -> Path:
    """Return `$DILU_RUN_DIR`, `$XDG_RUNTIME_DIR/dilu` or `/tmp/dilu-UID`. It is created where it is missing.

    Raises `ConfigError` if another user could write to it.
    """
    if given := environ.get(ENV_RUN_DIR):
        path = Path(given)
    elif runtime := environ.get("XDG_RUNTIME_DIR"):
        path = Path(runtime) / "dilu"
    else:
        path = Path(f"/tmp/dilu-{os.getuid()}")
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.lstat()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; set {ENV_RUN_DIR} to a folder of yours") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        rule = f"must be a folder that only you can use (chmod 700), or set {ENV_RUN_DIR} to another one"
        raise ConfigError(f"{path}: owner {found.st_uid}, mode {found.st_mode & 0o777:o}; {rule}")
    return path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPlatform:
    """A `dilu up` that is running."""

    name: str
    pid: int
    url: str
    socket: Path


class Claim:
    """A name that is ours as long as this process lives; the kernel frees it even after a SIGKILL."""

    def __init__(self, folder: Path, lock_fd: int) -> None:
        self.name = folder.name
        self.folder = folder
        self.socket = folder / _SOCKET
        self.logs = folder / "logs"
        self._lock_fd = lock_fd

    def announce(self, url: str) -> None:
        """Write down who holds the name."""
        content = json.dumps({"pid": os.getpid(), "url": url}).encode()
        with _usable(self.folder / _LOCK):
            os.ftruncate(self._lock_fd, 0)
            os.pwrite(self._lock_fd, content, 0)

    def release(self) -> None:
        """Release the name. The logs stay until it is claimed again."""
        with contextlib.suppress(OSError):
            self.socket.unlink(missing_ok=True)
            os.ftruncate(self._lock_fd, 0)
        os.close(self._lock_fd)


def claim(root: Path, name: str) -> Claim:
    """Claim the name for this process. Raises `ConfigError` that names the process that holds it."""
    folder = root / name
    if len(os.fsencode(folder / _SOCKET)) > _MAX_SOCKET_PATH:
        raise ConfigError(f"{folder}: too long a path for a socket; set {ENV_RUN_DIR} to a shorter one")
    with _usable(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
        lock_fd = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _lock(lock_fd, name)
        held = Claim(folder, lock_fd)
        with _usable(folder):
            _clear(held)
    except BaseException:
        os.close(lock_fd)
        raise
    return held


def _lock(lock_fd: int, name: str) -> None:
    """Lock for this process alone; `dilu ps` holds the lock for a moment, so that this waits a little."""
    give_up_s = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= give_up_s:
                break
            time.sleep(_LOCK_WAIT_S / 20)
    holder = _read(lock_fd)
    who = f"pid {holder[0]}, {holder[1]}" if holder else "it is starting or stopping"
    raise ConfigError(f"{name} is up already ({who}); stop it with Ctrl-C there, or use another --name")


@contextlib.contextmanager
def _usable(path: Path) -> Iterator[None]:
    """Turn errors of the file system below `path` into a `ConfigError` that names the place."""
    try:
        yield
    except OSError as error:
        where = error.filename or path
        raise ConfigError(f"{where}: {error.strerror}; fix that, or set {ENV_RUN_DIR} to another folder") from error


def running(root: Path) -> list[RunningPlatform]:
    """Return every `dilu up` that runs under this folder, by name."""
    found = []
    for lock in sorted(root.glob(f"*/{_LOCK}")):
        try:
            lock_fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except OSError:  # deleted, or not a file of ours
            continue
        try:
            fcntl.flock(lock_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if holder := _read(lock_fd):
                pid, url = holder
                found.append(RunningPlatform(name=lock.parent.name, pid=pid, url=url, socket=lock.parent / _SOCKET))
        finally:
            os.close(lock_fd)
    return found


def _read(lock_fd: int) -> tuple[int, str] | None:
    """Return pid and URL of the holder; None while it has not announced itself."""
    try:
        content = json.loads(os.pread(lock_fd, 4096, 0))
        return int(content["pid"]), str(content["url"])
    except (ValueError, KeyError, TypeError):
        return None


def _clear(held: Claim) -> None:
    """Remove the socket and the logs of the last holder of the name."""
    held.socket.unlink(missing_ok=True)
    held.logs.mkdir(mode=0o700, exist_ok=True)
    for old in held.logs.glob("*.log"):
        old.unlink(missing_ok=True)
