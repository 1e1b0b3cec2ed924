"""The kernel that every batching contender runs: 5 ms a batch without the interpreter's lock, as a model on a GPU.

It counts what it ran in the file that `DILU_BENCH_COUNTS` names, where the client reads it: contenders run their
handlers in processes of their own, and each of them counts alike.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

KERNEL_S: Final = 0.005
MAX_BATCH: Final = 32
_LAYOUT: Final = struct.Struct("=ddd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the kernel has run so far; `busy_s` is the duration of its calls in the handler."""

    batches: float = 0.0
    items: float = 0.0
    busy_s: float = 0.0

    def since(self, earlier: Counts) -> Counts:
        """Return what was added after `earlier`."""
        return Counts(
            batches=self.batches - earlier.batches,
            items=self.items - earlier.items,
            busy_s=self.busy_s - earlier.busy_s,
        )


class Kernel:
    """Runs batches, one at a time: `answers = kernel.run(items)`."""

    def __init__(self) -> None:
        self._counts = Counts()
        with Path(os.environ["DILU_BENCH_COUNTS"]).open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _LAYOUT.size)

    def run(self, items: Sequence[Sequence[float]]) -> list[int]:
        """Return the length of each item, after 5 ms for all of them."""
        began_s = time.monotonic()
        time.sleep(KERNEL_S)
        seen = self._counts
        self._counts = Counts(
            batches=seen.batches + 1,
            items=seen.items + len(items),
            busy_s=seen.busy_s + time.monotonic() - began_s,
        )
        _LAYOUT.pack_into(self._shared, 0, self._counts.batches, self._counts.items, self._counts.busy_s)
        return [len(item) for item in items]


def new_counts(path: Path) -> None:
    """Make an empty file of counts."""
    path.write_bytes(bytes(_LAYOUT.size))


def read_counts(path: Path) -> Counts:
    """Return the counts of the file."""
    batches, items, busy_s = _LAYOUT.unpack(path.read_bytes())
    return Counts(batches=batches, items=items, busy_s=busy_s)
