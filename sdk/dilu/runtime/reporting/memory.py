"""The memory of the replica's process, and the GPU memory that torch holds for it."""

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
    """Memory in bytes; `gpu_bytes` is None if torch is not imported or uses no GPU."""

    resident_bytes: int
    gpu_bytes: int | None


def process_memory() -> MemoryUse:
    """Return the memory that this process uses now."""
    return MemoryUse(resident_bytes=_resident_bytes(), gpu_bytes=_gpu_bytes())


def _resident_bytes() -> int:
    try:
        return int(_STATM.read_text().split()[1]) * _PAGE_BYTES
    except OSError:  # not Linux: the peak is the best available value
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def _gpu_bytes() -> int | None:
    """Return the memory that torch has reserved. Never import torch: a scrape must not load it."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    with contextlib.suppress(Exception):  # a half-imported library, or a driver that was unloaded
        if torch.cuda.is_initialized():
            held: int = sum(torch.cuda.memory_reserved(device) for device in range(torch.cuda.device_count()))
            return held
    return None
