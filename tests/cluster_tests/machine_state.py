"""What a machine has of processes, mounts, namespaces, rules and directories, as far as a cluster could leave any."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path

from testcluster.places import clusters_directory
from testcluster.sandbox import CGROUPS

_FOREIGN = (
    "/etc/cni",
    "/etc/kubernetes",
    "/run/containerd",
    "/run/netns",
    "/run/xtables.lock",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
)
_NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "uts")


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """Each field is a set of things by their names."""

    processes: frozenset[str]
    namespaces: frozenset[str]
    mounts: frozenset[str]
    devices: frozenset[str]
    routes: frozenset[str]
    rules: frozenset[str]
    cgroups: frozenset[str]
    directories: frozenset[str]

    def new_since(self, before: MachineState) -> dict[str, list[str]]:
        """What is here and was not before, by field; empty when nothing is."""
        found = {one.name: sorted(getattr(self, one.name) - getattr(before, one.name)) for one in fields(self)}
        return {name: new for name, new in found.items() if new}


def machine_state(*, marks: Collection[str], without: Collection[int] = ()) -> MachineState:
    """The state now. Processes are those that bear a mark in their command line or environment.

    `without` are first processes of other clusters: what belongs to them is left out.
    """
    parents = _parents()
    ours = [pid for pid in parents if not _descends(pid, parents, set(without))]
    return MachineState(
        processes=frozenset(text for pid in ours for text in _marked(pid, marks)),
        namespaces=frozenset(name for pid in ours for name in _namespaces(pid)),
        mounts=frozenset(line.partition(" - ")[0].split(" ", 4)[4] for line in _lines("/proc/self/mountinfo")),
        devices=_output("ip", "-brief", "link"),
        routes=_output("ip", "route", "show", "table", "all"),
        rules=_output("iptables-save") | _output("ip6tables-save"),
        cgroups=_cgroups(),
        directories=frozenset(
            [path for path in _FOREIGN if Path(path).exists()] + [str(path) for path in clusters_directory().glob("*")]
        ),
    )


def _cgroups() -> frozenset[str]:
    """Groups at the top of each hierarchy, and those of clusters; what other programs have in their own is theirs."""
    tops = [top for hierarchy in CGROUPS.iterdir() if hierarchy.is_dir() for top in (hierarchy, *_folders(hierarchy))]
    below = [Path(path) for top in tops if "dilu-test-cluster" in top.name for path, _, _ in os.walk(top)]
    return frozenset(str(path) for path in (*tops, *below) if "dilu-test-cluster-dilu-pytest" not in str(path))


def _folders(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_dir()]


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    return found


def _descends(pid: int, parents: dict[int, int], roots: set[int]) -> bool:
    while pid not in roots and pid in parents:
        pid = parents[pid]
    return pid in roots


def _marked(pid: int, marks: Collection[str]) -> list[str]:
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
        if pid != os.getpid() and any(mark in command or mark in environment for mark in marks):
            return [f"{pid} {command}"]
    return []


def _namespaces(pid: int) -> list[str]:
    found = []
    for kind in _NAMESPACES:
        with contextlib.suppress(OSError):
            found.append(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
    return found


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _output(*command: str) -> frozenset[str]:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return frozenset(line for line in done.stdout.splitlines() if not line.startswith("#"))
