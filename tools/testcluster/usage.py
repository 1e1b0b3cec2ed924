"""What a container uses, from its control group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .api import Object
from .cluster import Cluster
from .errors import ClusterError

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time used since the container started, and memory that the kernel could not take back now."""

    cpu_s: float
    memory_mib: float


def container_usage(cluster: Cluster, pod: Object, container: str) -> Usage:
    """Return the usage of one container of a running pod."""
    statuses = pod["status"].get("containerStatuses") or []
    found = [one["containerID"] for one in statuses if one["name"] == container and one.get("containerID")]
    if not found:
        raise ClusterError(f"pod {pod['metadata']['name']}: no container {container} runs in it")
    name = found[0].rpartition("/")[2]
    groups = [group for root in cluster.record.cgroups for group in Path(root).glob(f"kubepods*/**/{name}")]
    files = {path.name: path for group in groups for path in group.iterdir()}
    if "cpu.stat" in files and "memory.current" in files:  # version 2
        cpu_s = _table(files["cpu.stat"])["usage_usec"] / 1e6
        memory_bytes = int(files["memory.current"].read_text()) - _table(files["memory.stat"])["inactive_file"]
    elif "cpuacct.usage" in files and "memory.usage_in_bytes" in files:
        cpu_s = int(files["cpuacct.usage"].read_text()) / 1e9
        inactive = _table(files["memory.stat"])["total_inactive_file"]
        memory_bytes = int(files["memory.usage_in_bytes"].read_text()) - inactive
    else:
        raise ClusterError(f"container {name}: no control group of it in {', '.join(cluster.record.cgroups)}")
    return Usage(cpu_s=cpu_s, memory_mib=memory_bytes / _MIB)


def _table(path: Path) -> Mapping[str, int]:
    return {line.split()[0]: int(line.split()[1]) for line in path.read_text().splitlines()}
