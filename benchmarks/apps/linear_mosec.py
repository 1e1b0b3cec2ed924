"""The linear model in mosec: `python linear_mosec.py --port 8000`.

MAX_WAIT_MS is its wait for a fuller batch. CODEC=msgspec decodes and encodes with msgspec, as ours does; the default
is mosec's own, the standard library's json.
"""

from __future__ import annotations

import os
from typing import Any

import msgspec
from mosec import Server, Worker

from apps import linear_kernel


class Linear(Worker):  # type: ignore[misc]  # mosec is not installed where the types are checked
    """Numbers in, the same numbers out."""

    def forward(self, data: list[list[float]]) -> list[list[float]]:
        """Run one batch."""
        return linear_kernel.run(data)


class LinearWithMsgspec(Linear):
    """The same with another JSON codec."""

    def deserialize(self, data: bytes) -> Any:
        """Decode one item from the body of its request."""
        return msgspec.json.decode(data)

    def serialize(self, data: Any) -> bytes:
        """Encode one answer."""
        return msgspec.json.encode(data)


if __name__ == "__main__":
    server = Server()
    worker = LinearWithMsgspec if os.environ["CODEC"] == "msgspec" else Linear
    server.append_worker(worker, max_batch_size=linear_kernel.MAX_BATCH, max_wait_time=int(os.environ["MAX_WAIT_MS"]))
    server.run()
