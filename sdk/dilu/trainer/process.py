"""What a run asks of its own process: an exit that comes, and children that a Ctrl-C does not end too early."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Final

from dilu.runtime import process

THREAD_NAME: Final = "dilu-training"  # of the thread that runs the user's code


def end_process(code: int) -> None:
    """End the process with `code`, also while the training thread is still in the user's code."""

    def finish() -> None:
        logging.shutdown()
        if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
            sys.stdout.flush()
            os._exit(code)  # an interpreter that finalizes under a thread in C may crash

    process.exit_surely(code, finish=finish)


def shield_forks(fds: Callable[[], Iterable[int]]) -> None:
    """As for a replica; and a child survives the first Ctrl-C, which a terminal sends to it as well.

    A data loader's worker would otherwise end in the middle of the iteration that is to be finished.
    """

    def in_child() -> None:
        def once(number: int, frame: object) -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)

        signal.signal(signal.SIGINT, once)

    process.shield_forks(fds)
    os.register_at_fork(after_in_child=in_child)
