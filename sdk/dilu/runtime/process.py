"""The replica's process: age, garbage collection during a cold start, fork safety, guaranteed exit."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

# For threads of the function that never end; the interpreter would wait for them forever.
EXIT_GRACE_S = 2.0
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Objects made in a cold start stay alive: collecting them again and again costs a fifth of its time.
_COLD_START_GC = (50_000, 20, 20)


def exit_surely(code: int, *, finish: Callable[[], None]) -> None:
    """Call `finish` and end the process with `code`, even if `finish` or a thread of the function hangs."""
    guard = threading.Timer(EXIT_GRACE_S, os._exit, [code])
    guard.daemon = True
    guard.start()
    finish()
    sys.exit(code)


def shield_forks(fds: Callable[[], Iterable[int]]) -> None:
    """Reset signal handlers and close `fds` in children that the function forks, as multiprocessing does.

    A child inherits the loop's wake-up socket, so a SIGTERM to the child would drain the replica. It would also hold
    the listening sockets, the connections and the control line open after the replica's end; `fds` returns those.
    """
    masks: list[set[int]] = []

    def before() -> None:
        # A signal to the child must wait until the child has its own handlers.
        masks.append(set(signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)))

    def in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def in_child() -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for fd in fds():
            with contextlib.suppress(OSError):
                os.close(fd)
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    os.register_at_fork(before=before, after_in_parent=in_parent, after_in_child=in_child)


def ease_cold_start() -> Callable[[], None]:
    """Collect garbage rarely while a model loads. Return a function to call when it is loaded.

    That function restores the thresholds and exempts the objects that exist by then: with torch loaded, one full
    collection stops the process for a fifth of a second, in the middle of a batch.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*_COLD_START_GC)

    def loaded() -> None:
        gc.freeze()
        gc.set_threshold(*usual)

    return loaded


def seconds_since_process_start() -> float:
    """Return the seconds since the kernel started this process (Linux, to a hundredth); 0.0 elsewhere."""
    try:
        stat = Path("/proc/self/stat").read_text(encoding="ascii", errors="replace")
        # Field 22, counted after the command's name, which may contain spaces and parentheses.
        start_ticks = int(stat.rpartition(")")[2].split()[19])
        started_s = start_ticks / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - started_s)
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
