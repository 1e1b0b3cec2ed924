"""The process of a run: guaranteed exit, and child processes that survive the first Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Final

from dilu.runtime import process

THREAD_NAME: Final = "dilu-training"  # the thread that runs the user's code


def end_process(code: int) -> None:
    """End the process with `code`, even if the training thread still runs the user's code."""

    def finish() -> None:
        logging.shutdown()
        if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
            sys.stdout.flush()
            os._exit(code)  # an interpreter that finalizes under a thread in C may crash

    process.exit_surely(code, finish=finish)


def shield_forks(fds: Callable[[], Iterable[int]]) -> None:
    """Shield forked children as a replica does, and let them ignore the first Ctrl-C of a terminal.

    Otherwise a data loader's worker would end in the middle of the iteration that must be finished.
    """

    def in_child() -> None:
        def once(number: int, frame: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)

        signal.signal(signal.SIGINT, once)

    process.shield_forks(fds)
    os.register_at_fork(after_in_child=in_child)
