"""What is known of a running cluster, on disk: ids, so that `down` needs no guess, also after a SIGKILL of the tool."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Any

from .errors import ClusterError
from .places import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """One process for good: its number together with the clock tick at which it started."""

    pid: int
    started: int

    def runs(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        seen = process_id(self.pid)
        return seen == self


def process_id(pid: int) -> ProcessId | None:
    """Return the identity of the process that has this number now; None if there is none."""
    with contextlib.suppress(OSError):
        # The command's name may hold blanks: read behind its bracket.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        if fields[0] not in ("Z", "X"):
            return ProcessId(pid=pid, started=int(fields[19]))
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One cluster: everything outside its namespaces that belongs to it."""

    name: str
    knative: str
    cgroups: tuple[str, ...] = ()  # directories below /sys/fs/cgroup that this tool made
    init: ProcessId | None = None  # the first process; None before it is there
    ready: bool = False
    programs: str = ""  # the directory of links to kubectl, kn, helm and the components


def record_draft(places: Places) -> Path:
    """Where a record is written before it takes its name."""
    return places.record.with_suffix(".new")


def write_record(places: Places, record: Record) -> None:
    """Save the record so that a reader, or a crash, sees the old or the new one and nothing between."""
    draft = record_draft(places)
    with draft.open("w") as file:
        json.dump(asdict(record), file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(places.record)


def read_record(places: Places) -> Record | None:
    """Return the record of this cluster; None if there is none."""
    try:
        found: dict[str, Any] = json.loads(places.record.read_text())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ClusterError(
            f"{places.record}: {error}. It was not written by this tool; look at it and remove it."
        ) from error
    try:
        init = found.pop("init")
        record = Record(**found, init=ProcessId(**init) if init else None)
    except (TypeError, KeyError) as error:
        raise ClusterError(f"{places.record}: written by another version of this tool ({error})") from error
    return replace(record, cgroups=tuple(record.cgroups))


@contextlib.contextmanager
def only_one(places: Places) -> Iterator[None]:
    """Lock out a second `up` or `down` of the same cluster; the lock ends with the process that holds it."""
    places.directory.parent.mkdir(parents=True, exist_ok=True)
    lock = places.directory.parent / f".{places.name}.lock"
    with lock.open("w") as file:
        try:
            flock(file, LOCK_EX | LOCK_NB)
        except BlockingIOError as error:
            raise ClusterError(
                f"cluster {places.name}: another command is starting or stopping it. Wait for it."
            ) from error
        if not _is_still(lock, file.fileno()):
            raise ClusterError(f"cluster {places.name}: another command has just ended. Run yours again.")
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if not any(places.directory.parent.iterdir()):
                with contextlib.suppress(OSError):
                    places.directory.parent.rmdir()


def _is_still(path: Path, descriptor: int) -> bool:
    """Return whether the open file still has this name: the previous holder of the lock removes it."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False
