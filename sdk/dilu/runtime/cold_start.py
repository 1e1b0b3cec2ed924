"""When this process began: the first phase of a cold start."""

from __future__ import annotations

import os
import time
from pathlib import Path


def seconds_since_process_start() -> float:
    """Seconds since the kernel started this process (Linux, to a hundredth); 0.0 where that cannot be known."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        # Field 22, counted after the command's name, which may hold spaces and parentheses itself.
        start_ticks = int(stat.rpartition(")")[2].split()[19])
        started_s = start_ticks / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
