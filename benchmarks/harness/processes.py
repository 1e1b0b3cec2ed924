"""Processes and listeners as the kernel shows them: who started whom, what memory they hold, what still listens."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table; `started` distinguishes it from a later process with its number."""

    parent: int
    session: int
    started: str


def process_table() -> dict[int, Process]:
    """Return the processes that run now by their numbers, without zombies."""
    table = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # A process may end while it is read. The command's name may hold blanks: read behind its bracket.
            with contextlib.suppress(OSError):
                rest = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                if rest[0] != "Z":
                    table[int(entry.name)] = Process(parent=int(rest[1]), session=int(rest[3]), started=rest[19])
    return table


def resident_kib(pid: int) -> int:
    """Return the resident memory, shared pages divided among the processes (Pss); 0 of a process that has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def listens(port: int) -> bool:
    """Return whether a process takes connections on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
