"""The linear model in mosec: `python linear_mosec.py --port 8000`. MAX_WAIT_MS is its wait for a fuller batch."""

from __future__ import annotations

import os

from mosec import Server, Worker

from apps import linear_kernel


class Linear(Worker):  # type: ignore[misc]  # mosec is not installed where the types are checked
    """Numbers in, the same numbers out."""

    def forward(self, data: list[list[float]]) -> list[list[float]]:
        """One batch."""
        return linear_kernel.run(data)


if __name__ == "__main__":
    server = Server()
    server.append_worker(Linear, max_batch_size=linear_kernel.MAX_BATCH, max_wait_time=int(os.environ["MAX_WAIT_MS"]))
    server.run()
