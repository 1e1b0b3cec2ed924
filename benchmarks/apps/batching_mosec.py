"""The batching contender mosec: `python batching_mosec.py --port 8000`.

MAX_WAIT_MS is its wait for a fuller batch. CODEC=msgspec decodes and encodes with msgspec, as we do; the default is
mosec's own, the standard library's json.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from mosec import Server, Worker

from apps.kernel import MAX_BATCH, Kernel


class Infer(Worker):  # type: ignore[misc]  # mosec is not installed where the types are checked
    """64 floats in, their number out, after 5 ms a batch."""

    def __init__(self) -> None:
        super().__init__()
        self._kernel = Kernel()

    def forward(self, data: list[list[float]]) -> list[int]:
        """Run one batch."""
        return self._kernel.run(data)


class InferWithMsgspec(Infer):
    """The same with another JSON codec."""

    def deserialize(self, data: bytes) -> Any:
        """Decode one item from the body of its request."""
        return msgspec.json.decode(data)

    def serialize(self, data: Any) -> bytes:
        """Encode one answer."""
        return msgspec.json.encode(data)


if __name__ == "__main__":
    server = Server()
    worker = InferWithMsgspec if os.environ["CODEC"] == "msgspec" else Infer
    server.append_worker(worker, max_batch_size=MAX_BATCH, max_wait_time=int(os.environ["MAX_WAIT_MS"]))
    server.run()
