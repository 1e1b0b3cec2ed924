"""Progress for people, on stderr: what runs, and how long it has been running."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import Final

_EVERY_S: Final = 20.0


def say(text: str) -> None:
    """One line of progress; stdout is for results."""
    print(f"cluster: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(title: str) -> Iterator[None]:
    """Says the title at once, that it still runs every 20 s, and how long it took."""
    began_s = time.monotonic()
    over = threading.Event()

    def remind() -> None:
        while not over.wait(_EVERY_S):
            say(f"{title} … {time.monotonic() - began_s:.0f} s")

    say(f"{title} …")
    reminder = threading.Thread(target=remind, name="progress", daemon=True)
    reminder.start()
    try:
        yield
    finally:
        over.set()
        reminder.join()
    say(f"{title}: {time.monotonic() - began_s:.1f} s")
