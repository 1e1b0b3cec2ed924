"""The same stream in LitServe."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator

import litserve


class Count(litserve.LitAPI):  # type: ignore[misc]  # LitServe is not installed where the types are checked
    """0, 1, 2, ... n - 1."""

    def setup(self, device: str) -> None:
        """Nothing to load."""

    def decode_request(self, request: dict[str, int]) -> int:
        """How far to count; LitServe takes a bare number for a query parameter."""
        return request["n"]

    def predict(self, n: int) -> Iterator[int]:
        """The numbers."""
        yield from range(n)

    def encode_response(self, output: Iterator[int]) -> Iterator[str]:
        """Server-sent events."""
        for number in output:
            yield f"data: {json.dumps(number)}\n\n"
        yield "event: done\ndata: {}\n\n"


if __name__ == "__main__":
    # Only Ctrl-C makes LitServe end its processes; SIGTERM leaves them behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    server = litserve.LitServer(Count(stream=True), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        num_api_servers=1,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
