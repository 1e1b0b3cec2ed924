"""What the replica's process holds in memory, and what torch holds on the GPU for it."""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryUse:
    """Memory in bytes; `gpu_bytes` is None where torch is not imported or uses no GPU."""

    resident_bytes: int
    gpu_bytes: int | None


def process_memory() -> MemoryUse:
    """What this process holds now."""
    return MemoryUse(resident_bytes=_resident_bytes(), gpu_bytes=_gpu_bytes())


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:  # not Linux: the most that it ever held is the nearest that can be had
        import resource

        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024


def _gpu_bytes() -> int | None:
    """Never imports torch: who looks at the numbers must not load a library for it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    with contextlib.suppress(Exception):  # a library that is half imported, or a driver that has gone
        if torch.cuda.is_initialized():
            held: int = sum(torch.cuda.memory_reserved(device) for device in range(torch.cuda.device_count()))
            return held
    return None
